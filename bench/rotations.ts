import type { ChildProcess } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Certificates } from './certificates.js'
import { freePort } from '../test/helpers/real-servers.js'
import { find, message, start, startProgram, stop, stopAll } from './processes.js'
import type { Comparison, Row } from './results.js'
import type { Connection } from './returning-clients.js'

export const CLIENTS = 40
export const RECONNECT_MS = 2000
/** How often a key, a server or a certificate changes. */
export const CHANGE_MS = 4000
/** The lifetime of a ticket, and the age of a connection, when the deployment cuts it. */
export const LIFETIME_S = 4
export const HOLD_MS = 6000
const HOSTS = 3

export type Scenario = 'timer' | 'restart' | 'certificate' | 'deployment'
export type Kind = 'plain' | 'shared' | 'managed'

const KINDS: Record<Kind, string> = { plain: 'plain Node.js', shared: 'plain Node.js, one ticketKeys', managed: 'this package' }

const SCENARIOS: Record<Scenario, { name: string, kinds: Kind[] }> = {
  timer: { name: 'the key rotates', kinds: ['plain', 'managed'] },
  restart: { name: `a rolling restart of ${HOSTS} servers behind HAProxy`, kinds: ['plain', 'shared', 'managed'] },
  certificate: { name: 'the certificate is renewed', kinds: ['plain', 'managed'] },
  deployment: { name: 'a deployment cuts connections older than their tickets', kinds: ['plain', 'managed'] }
}

/** What to measure: `only` leaves the other scenarios out. */
export interface RotationOptions {
  seconds: number
  only?: string | undefined
}

/**
 * Measures the share of returning connections that resume while something changes. Everything is measured at the same
 * time. The clients start when all servers listen.
 */
export async function measureRotations (certificates: Certificates, { seconds, only }: RotationOptions): Promise<Comparison[]> {
  const end = new AbortController()
  const chosen = Object.entries(SCENARIOS).filter(([scenario]) => only === undefined || scenario === only)
  const begin = await Promise.all(chosen.map(async ([scenario, { name, kinds }]) => {
    const clients = await Promise.all(kinds.map((kind) => prepare(certificates, scenario as Scenario, kind, end.signal)))
    return async (): Promise<Comparison> => {
      const rows = await Promise.all(clients.map(async ({ name, child, port }) => {
        child.send([port, seconds])
        return summarize(name, await message<Connection[]>(child))
      }))
      return { name, rows, rounds: 1, noisy: false }
    }
  }))
  const results = await Promise.all(begin.map((measure) => measure()))
  end.abort()
  await stopAll()
  return results
}

interface Clients {
  name: string
  child: ChildProcess
  port: number
}

/** Starts the servers, and clients that wait for the port. */
async function prepare (certificates: Certificates, scenario: Scenario, kind: Kind, end: AbortSignal): Promise<Clients> {
  const run = (port: number): ChildProcess => {
    const { 'P-256': first, 'RSA-2048': other } = certificates.files
    return start('rotating-server.ts', [scenario, kind, String(port), first.key, first.cert, other.key, other.cert])
  }
  const port = scenario === 'restart'
    ? await startHosts(certificates.directory, kind, run, end)
    : await message<number>(run(0))
  const child = start('returning-clients.ts')
  await message(child)
  return { name: KINDS[kind], child, port }
}

/** Starts servers behind HAProxy, which does not decrypt. Restarts one server after the other. Returns HAProxy's port. */
async function startHosts (
  directory: string, kind: Kind, run: (port: number) => ChildProcess, end: AbortSignal
): Promise<number> {
  const path = find('haproxy')
  if (path === undefined) throw new Error('install haproxy to measure a rolling restart')
  const ports = await Promise.all(Array.from({ length: HOSTS }, freePort))
  const hosts = ports.map(run)
  await Promise.all(hosts.map((host) => message(host)))
  restartInTurn(hosts, (index) => run(ports[index] ?? 0), end).catch((error: unknown) => { if (!end.aborted) throw error })
  const port = await freePort()
  const own = join(directory, `balancer-${kind}`)
  mkdirSync(own)
  writeFileSync(join(own, 'configuration'), `global
  maxconn 200
defaults
  mode tcp
  timeout client 30s
  timeout connect 5s
  timeout server 30s
  option redispatch 1
  retries 5
frontend bench
  bind 127.0.0.1:${port}
  default_backend hosts
backend hosts
  balance roundrobin
${ports.map((host) => `  server host${host} 127.0.0.1:${host} check inter 100ms fall 1 rise 1`).join('\n')}
`)
  await startProgram(path, ['-f', join(own, 'configuration')], port)
  return port
}

async function restartInTurn (hosts: ChildProcess[], run: (index: number) => ChildProcess, end: AbortSignal): Promise<void> {
  for (let next = 0; ; next = (next + 1) % HOSTS) {
    await sleep(CHANGE_MS, undefined, { signal: end })
    await stop(hosts[next] as ChildProcess)
    if (end.aborted) return
    const host = run(next)
    hosts[next] = host
    await message(host)
  }
}

function summarize (name: string, connections: Connection[]): Row {
  const started = Math.min(...connections.map(([time]) => time))
  const seconds = Math.max(0, ...connections.map(([time]) => Math.floor((time - started) / 1000))) + 1
  const share = (some: Connection[]): number => some.filter(([, resumed]) => resumed).length / some.length
  return {
    name,
    figures: { 'resumed, %': { median: 100 * share(connections) }, connections: { median: connections.length } },
    series: Array.from({ length: seconds }, (_, second) => {
      const some = connections.filter(([time]) => Math.floor((time - started) / 1000) === second)
      return some.length === 0 ? null : share(some)
    })
  }
}
