import cluster from 'node:cluster'
import type { Worker } from 'node:cluster'
import { once } from 'node:events'
import { createServer } from 'node:https'
import type { Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { tlsSession } from '../../lib/tls/tls-session.js'
import type { LogBook } from './managed.js'

/*
 * What the processes of a test's cluster run: see cluster.ts for the other end. The primary stands between the test and its workers.
 */

/** What a test can ask a process for. */
export type Commands = Record<string, (argument: unknown) => unknown>

/** An answer of a worker's server, as JSON. */
export interface Answer {
  pid: number
  reused: boolean
  /** of the ticket that the client presented, if keys are managed */
  keyId: string | null
}

/** On the channels between test, primary and workers. */
export type Message =
  | { test: 'listening', pid: number, port: number }
  | { test: 'command', id: number, to: number | 'primary', name: string, argument?: unknown }
  | { test: 'done', id: number, result?: unknown, error?: string }

/** The primary: forks workers, also for those that end, and passes messages on. */
export function drive (workers: number, commands: Commands = {}, fork: () => Worker = () => cluster.fork()): void {
  cluster.on('message', (_worker, message: Message | null) => { if (message?.test !== undefined) process.send?.(message) })
  cluster.on('exit', () => { fork() })
  process.on('message', (message: Message) => {
    if (message.test !== 'command') return
    if (message.to === 'primary') return perform(message, commands)
    Object.values(cluster.workers ?? {}).find((worker) => worker?.process.pid === message.to)?.send(message)
  })
  for (let i = 0; i < workers; i++) fork()
}

/** A worker: carries out commands, and listens with a server that says who answers. */
export async function serve (attach: (server: Server) => void, commands: Commands = {}): Promise<void> {
  const server = createServer(certificate(), (request, response) => {
    const session = tlsSession(request.socket)
    const answer: Answer = { pid: process.pid, reused: (request.socket as TLSSocket).isSessionReused(), keyId: session?.keyId ?? null }
    response.setHeader('connection', 'close').end(JSON.stringify(answer))
  })
  attach(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  announce(server, { renewCertificate: () => { server.setSecureContext(certificate()) }, ...commands })
}

/** A worker with a server of the test's own, which listens: carries out commands. */
export function announce (server: Pick<Server, 'address'>, commands: Commands): void {
  obey(commands)
  process.send?.({ test: 'listening', pid: process.pid, port: (server.address() as AddressInfo).port } satisfies Message)
}

/** Carries out commands that come from the parent. */
export function obey (commands: Commands): void {
  process.on('message', (message: Message | null) => { if (message?.test === 'command') perform(message, commands) })
}

/** What the test gave to `startCluster`. */
export function certificate (): { key: string, cert: string } {
  return { key: process.env['TEST_KEY'] ?? '', cert: process.env['TEST_CERT'] ?? '' }
}

/** Warnings and errors, in that order. */
export function complaints (log: LogBook): string[] {
  return (['warn', 'error'] as const).flatMap((level) => log.of(level).map((message) => `${level}: ${message}`))
}

function perform ({ id, name, argument }: Message & { test: 'command' }, commands: Commands): void {
  const reply = (result: object): void => { process.send?.({ test: 'done', id, ...result }) }
  Promise.resolve().then(() => commands[name]?.(argument)).then(
    (result) => { reply({ result }) },
    (error: Error) => { reply({ error: error.message }) }
  )
}
