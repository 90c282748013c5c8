import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import type { Test } from 'tap'
import { VARIABLES } from '../../lib/config/schema.js'
import { serverCert } from '../helpers/certs.js'
import { connect, SingleUseClient } from '../helpers/client.js'
import { blocks, ROOT } from '../helpers/docs.js'
import { parseMetrics, value } from '../helpers/metrics.js'
import { until } from '../helpers/process.js'
import { closeAll, listen } from '../helpers/server.js'

const root = fileURLToPath(ROOT)
const [clusterCode, threadsCode, pm2Code, serviceCode] = blocks('docs/processes.md', 'js') as [string, string, string, string]
const [, unit] = blocks('docs/processes.md', 'ini') as [string, string]

t.teardown(closeAll)

/** Writes an example to where it finds the package by its name, with a certificate; on a port that is free. */
async function write (t: Test, code: string): Promise<string> {
  const directory = mkdtempSync(join(root, 'test', '.run-'))
  t.teardown(() => { rmSync(directory, { recursive: true }) })
  const { key, cert } = await serverCert()
  writeFileSync(join(directory, 'key.pem'), key)
  writeFileSync(join(directory, 'cert.pem'), cert)
  const probe = createServer()
  const port = await listen(probe)
  await new Promise((resolve) => { probe.close(resolve) })
  const here = (file: string): string => `'${join(directory, file)}'`
  writeFileSync(
    join(directory, 'server.js'),
    code
      .replaceAll("'key.pem'", here('key.pem'))
      .replaceAll("'cert.pem'", here('cert.pem'))
      .replace('8443', String(port))
  )
  return join(directory, 'server.js')
}

interface Running {
  child: ChildProcess
  output: () => string
}

function run (t: Test, args: string[], env: NodeJS.ProcessEnv = {}, socket: 'ignore' | number = 'ignore'): Running {
  const child = spawn(process.execPath, args, {
    cwd: root,
    env: { ...process.env, NODE_OPTIONS: undefined, ...env },
    stdio: ['ignore', 'pipe', 'pipe', socket]
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', (text: string) => { output += text })
  const exit = once(child, 'close')
  t.teardown(async () => {
    child.kill('SIGKILL')
    await exit
  })
  return { child, output: () => output }
}

t.test('docs/processes.md: node:cluster', async (t) => {
  const file = await write(t, clusterCode)
  const port = Number(/port: (\d+)/.exec(readFileSync(file, 'utf8'))?.[1])
  const { output } = run(t, [file])
  const client = new SingleUseClient({ port })
  await until(async () => await client.connect().then(() => true, () => false), 60_000)
  const workers = new Set<number>()
  await until(async () => workers.add((JSON.parse((await client.connect()).body) as { worker: number }).worker).size === 4, 60_000)
  t.equal(client.full, 1)
  t.notMatch(output(), /shareTicketKeys|Error/, 'no warnings')
})

t.test('docs/processes.md: worker threads', async (t) => {
  const { output } = run(t, [await write(t, threadsCode)])
  const ports = (): number[] => [...output().matchAll(/port (\d+)/g)].map((match) => Number(match[1]))
  await until(() => ports().length === 4, 60_000)
  const client = new SingleUseClient({ port: 0 })
  const answers = []
  for (const port of ports()) answers.push((await client.connect({ port })).body)
  t.same(answers, ['resumed: false\n', ...Array<string>(3).fill('resumed: true\n')])
})

t.test('docs/processes.md: PM2 and systemd use existing variables', async (t) => {
  const known = Object.keys(VARIABLES).map((name) => `TICKET_KEYS_${name}`)
  const named = [pm2Code, unit].map((text) => /TICKET_KEYS_\w+/.exec(text)?.[0] as string)
  t.same(named, ['TICKET_KEYS_SECRET_FILE', 'TICKET_KEYS_SECRET_FILE'])
  t.ok(named.every((name) => known.includes(name)))
  const module = { exports: {} as { apps?: Array<{ exec_mode: string }> } }
  runInNewContext(pm2Code, { module })
  t.equal(module.exports.apps?.[0]?.exec_mode, 'cluster')
})

t.test('docs/processes.md: a service restarted on a systemd socket loses no session', async (t) => {
  const file = await write(t, serviceCode)
  const secret = join(file, '..', 'secret')
  mkdirSync(secret)
  writeFileSync(join(secret, 'ticket-secret'), randomBytes(48).toString('base64'), { mode: 0o400 })
  // Passes the socket as systemd does. Unlike with systemd, the later services have the socket from the start: otherwise
  // this process would have to keep it, and would accept connections.
  const socket = createServer()
  const port = await listen(socket)
  const { fd } = (socket as unknown as { _handle: { fd: number } })._handle
  const env = { LISTEN_FDS: '1', TICKET_KEYS_SECRET_FILE: join(secret, 'ticket-secret') }
  const services = [1, 2, 3].map((start) => run(t, [file, `--start=${start}`], env, fd))
  socket.close()

  let session: Buffer | undefined
  const reused: boolean[] = []
  const served = new Set<number>()
  for (let i = 0; i < services.length; i++) {
    const exchange = await connect({ port, session, timeout: 60_000 })
    const { process: pid } = JSON.parse(exchange.body) as { process: number }
    served.add(pid)
    reused.push(exchange.reused)
    session = exchange.tickets.at(-1)
    const { child, output } = services.find((service) => service.child.pid === pid) as Running
    child.kill('SIGTERM')
    t.same(await once(child, 'close'), [0, null], output())
  }
  t.equal(served.size, services.length)
  t.same(reused, [false, true, true])
})

t.test('examples/cluster.ts: every connection resumes in any worker, and one page has the metrics of all', async (t) => {
  const { child, output } = run(t, ['--import', import.meta.resolve('tsx'), join(root, 'examples/cluster.ts')], {
    PORT: '0',
    METRICS_PORT: '0'
  })
  const find = (pattern: RegExp): number => Number(pattern.exec(output())?.[1])
  await until(() => find(/https:\/\/127\.0\.0\.1:(\d+)/) > 0 && find(/http:\/\/127\.0\.0\.1:(\d+)/) > 0, 60_000)
  const client = new SingleUseClient({ port: find(/https:\/\/127\.0\.0\.1:(\d+)/), rejectUnauthorized: false })
  const workers = new Set<number>()
  await until(async () => workers.add((JSON.parse((await client.connect()).body) as { worker: number }).worker).size === 4, 60_000)
  t.equal(client.full, 1)
  const page = await (await fetch(`http://127.0.0.1:${find(/http:\/\/127\.0\.0\.1:(\d+)/)}/metrics`)).text()
  const metrics = parseMetrics(page)
  t.equal(value(metrics, 'tls_handshakes_total', { protocol: 'TLSv1.3', resumed: 'true' }), client.resumed)
  t.equal(value(metrics, 'tls_handshakes_total', { protocol: 'TLSv1.3', resumed: 'false' }), 1)
  t.equal(value(metrics, 'tls_ticket_keys', { state: 'current' }), 1)
  child.kill('SIGTERM')
  t.same(await once(child, 'close'), [0, null], output())
})
