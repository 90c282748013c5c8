// Usage: npm run build && npx tsx bench/rotations.ts [seconds] [file]
//
// Measures the share of returning connections that resume while the ticket key rotates. Compares plain Node.js, which
// calls setTicketKeys on a timer, with this package. Writes an SVG chart, by default to docs/img/rotations.svg.
//
// Each server runs in its own process, and so do its clients. The clients use each TLS 1.3 ticket once, as browsers do.
// The first connection of a client cannot resume, so it is not counted. Both servers run at the same time.
import { fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { cpus } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { createTicketKeys } from 'fastify-ticket-keys'
import { serverCert } from '../test/helpers/certs.js'
import { SingleUseClient } from '../test/helpers/client.js'

const CLIENTS = 40
const RECONNECT_MS = 2000
const ROTATION_MS = 4000
const SERVERS = ['plain', 'managed'] as const
type ServerKind = typeof SERVERS[number]

const NAMES = { plain: 'plain Node.js', managed: 'fastify-ticket-keys' }
const COLORS = { plain: '#c2410c', managed: '#0f766e' }

/** A returning connection: when it was made (ms since 1970), and whether it resumed. */
type Connection = [time: number, resumed: boolean]

const [role, ...args] = process.argv.slice(2)
if (role === 'server') await runServer(args[0] as ServerKind)
else if (role === 'clients') await runClients(Number(args[0]), Number(args[1]))
else await main(Number(role ?? 60), args[0] ?? fileURLToPath(new URL('../docs/img/rotations.svg', import.meta.url)))

async function main (seconds: number, file: string): Promise<void> {
  const results = await Promise.all(SERVERS.map(async (kind) => [kind, await measure(kind, seconds)] as const))
  const rhythm = `reconnect every ${RECONNECT_MS / 1000} s, a rotation every ${ROTATION_MS / 1000} s`
  console.log(`${CLIENTS} clients that ${rhythm}, for ${seconds} s`)
  console.log(`Node.js ${process.version}, ${cpus().length} × ${cpus()[0]?.model ?? 'unknown processor'}\n`)
  for (const [kind, connections] of results) {
    const resumed = connections.filter(([, wasResumed]) => wasResumed).length
    console.log(`${NAMES[kind].padEnd(20)} ${percent(connections)} resumed (${resumed} of ${connections.length} returning connections)`)
  }
  writeFileSync(file, chart(new Map(results)))
  console.log(`\nThe chart is in ${file}`)
}

/** Runs one server and its clients. Resolves to the returning connections. */
async function measure (kind: ServerKind, seconds: number): Promise<Connection[]> {
  const script = fileURLToPath(import.meta.url)
  const server = fork(script, ['server', kind])
  try {
    const port = await message<number>(server)
    return await message<Connection[]>(fork(script, ['clients', String(port), String(seconds)]))
  } finally {
    server.kill()
  }
}

/** Resolves to the first message of a child process. Rejects if the child exits without a message. */
function message<T> (child: ReturnType<typeof fork>): Promise<T> {
  return new Promise((resolve, reject) => {
    child.once('message', (value) => { resolve(value as T) })
    child.once('exit', (code) => { reject(new Error(`a process of the benchmark ended with exit code ${code}`)) })
  })
}

async function runServer (kind: ServerKind): Promise<void> {
  const { key, cert } = await serverCert()
  const server = createServer({ key, cert }, (_request, response) => response.end('ok'))
  if (kind === 'managed') {
    const keys = await createTicketKeys({ rotationInterval: `${ROTATION_MS / 1000}s`, ticketLifetime: '1m', environment: false })
    keys.attach(server)
  } else {
    server.setTicketKeys(randomBytes(48))
    setInterval(() => { server.setTicketKeys(randomBytes(48)) }, ROTATION_MS)
  }
  server.listen(0, '127.0.0.1', () => { process.send?.((server.address() as AddressInfo).port) })
}

async function runClients (port: number, seconds: number): Promise<void> {
  const end = Date.now() + seconds * 1000
  const connections: Connection[] = []
  await Promise.all(Array.from({ length: CLIENTS }, async (_, index) => {
    // The clients start one after the other, so that their connections are spread evenly.
    await sleep(index * RECONNECT_MS / CLIENTS)
    const client = new SingleUseClient({ port, protocol: 'TLSv1.3', rejectUnauthorized: false })
    await client.connect()
    for (let due = Date.now() + RECONNECT_MS; due < end; due += RECONNECT_MS) {
      await sleep(due - Date.now())
      const time = Date.now()
      connections.push([time, (await client.connect()).reused])
    }
  }))
  process.send?.(connections, () => { process.exit() })
}

function percent (connections: Connection[]): string {
  const resumed = connections.filter(([, wasResumed]) => wasResumed).length
  return `${(100 * resumed / connections.length).toFixed(1)} %`
}

/** Returns an SVG line chart with one point per second for each server. */
function chart (results: Map<ServerKind, Connection[]>): string {
  const times = [...results.values()].flatMap((connections) => connections.map(([time]) => time))
  const started = Math.min(...times)
  const seconds = Math.floor((Math.max(...times) - started) / 1000)
  const [width, height, left, right, top, bottom] = [760, 300, 56, 16, 56, 44]
  const x = (second: number): string => (left + second / seconds * (width - left - right)).toFixed(1)
  const y = (share: number): string => (height - bottom - share * (height - top - bottom)).toFixed(1)
  const lines = [...results].map(([kind, connections], index) => {
    const points: string[] = []
    for (let second = 0; second < seconds; second++) {
      const inSecond = connections.filter(([time]) => Math.floor((time - started) / 1000) === second)
      const resumed = inSecond.filter(([, wasResumed]) => wasResumed).length
      if (inSecond.length > 0) points.push(`${x(second + 0.5)},${y(resumed / inSecond.length)}`)
    }
    return `<polyline points="${points.join(' ')}" fill="none" stroke="${COLORS[kind]}" stroke-width="2.5" stroke-linejoin="round"/>
<text x="${left + index * 300}" y="42" fill="${COLORS[kind]}" font-weight="bold">${NAMES[kind]}: ${percent(connections)}</text>`
  })
  const shares = [0, 0.5, 1].map((share) =>
    `<path d="M${left} ${y(share)}H${width - right}" stroke="#d4d4d4"/>` +
    `<text x="${left - 8}" y="${Number(y(share)) + 4}" text-anchor="end">${share * 100} %</text>`)
  const marks = Array.from({ length: Math.floor(seconds / 10) + 1 }, (_, index) =>
    `<text x="${x(index * 10)}" y="${height - bottom + 18}" text-anchor="middle">${index * 10} s</text>`)
  const font = 'font-family="sans-serif" font-size="13" fill="#404040"'
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" ${font}>
<rect width="${width}" height="${height}" fill="#fff"/>
<text x="${left}" y="20">Share of returning connections that resume, second by second. A rotation every ${ROTATION_MS / 1000} s.</text>
${[...shares, ...marks, ...lines.reverse()].join('\n')}
<text x="${(width + left) / 2}" y="${height - 6}" text-anchor="middle">time since the first returning connection</text>
</svg>
`
}
