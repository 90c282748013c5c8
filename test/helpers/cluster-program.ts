import cluster from 'node:cluster'
import type { Worker } from 'node:cluster'
import { once } from 'node:events'
import { createServer } from 'node:https'
import type { Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { tlsSession } from '../../lib/tls/tls-session.js'
import type { LogCollector } from './managed.js'

/*
 * The code of the processes in a test's cluster. The test itself uses cluster.ts. The primary passes messages between
 * the test and the workers.
 */

/** The commands that a test can send to a process. */
export type Commands = Record<string, (argument: unknown) => unknown>

/** The response of a worker's server, as JSON. */
export interface Answer {
  pid: number
  reused: boolean
  /** key id of the presented ticket, if keys are managed */
  keyId: string | null
}

/** Messages between the test, the primary and the workers. */
export type Message =
  | { test: 'listening', pid: number, port: number }
  | { test: 'command', id: number, to: number | 'primary', name: string, argument?: unknown }
  | { test: 'done', id: number, result?: unknown, error?: string }

/** Runs the primary: forks workers, replaces workers that end, and passes messages on. */
export function runPrimary (workers: number, commands: Commands = {}, fork: () => Worker = () => cluster.fork()): void {
  cluster.on('message', (_worker, message: Message | null) => { if (message?.test !== undefined) process.send?.(message) })
  cluster.on('exit', () => { fork() })
  process.on('message', (message: Message) => {
    if (message.test !== 'command') return
    if (message.to === 'primary') return perform(message, commands)
    Object.values(cluster.workers ?? {}).find((worker) => worker?.process.pid === message.to)?.send(message)
  })
  for (let i = 0; i < workers; i++) fork()
}

/** Runs a worker: executes commands, and listens with a server whose responses contain its process id. */
export async function serve (attach: (server: Server) => void, commands: Commands = {}): Promise<void> {
  const server = createServer(certificate(), (request, response) => {
    const session = tlsSession(request.socket)
    const answer: Answer = { pid: process.pid, reused: (request.socket as TLSSocket).isSessionReused(), keyId: session?.keyId ?? null }
    response.setHeader('connection', 'close').end(JSON.stringify(answer))
  })
  attach(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  runWorkerWith(server, { renewCertificate: () => { server.setSecureContext(certificate()) }, ...commands })
}

/** Runs a worker with the test's own listening server: executes commands. */
export function runWorkerWith (server: Pick<Server, 'address'>, commands: Commands): void {
  executeCommands(commands)
  process.send?.({ test: 'listening', pid: process.pid, port: (server.address() as AddressInfo).port } satisfies Message)
}

/** Executes commands from the parent process. */
export function executeCommands (commands: Commands): void {
  process.on('message', (message: Message | null) => { if (message?.test === 'command') perform(message, commands) })
}

/** The key and the certificate from `startCluster`. */
export function certificate (): { key: string, cert: string } {
  return { key: process.env['TEST_KEY'] ?? '', cert: process.env['TEST_CERT'] ?? '' }
}

/** All warnings, then all errors. */
export function warningsAndErrors (log: LogCollector): string[] {
  return (['warn', 'error'] as const).flatMap((level) => log.of(level).map((message) => `${level}: ${message}`))
}

function perform ({ id, name, argument }: Message & { test: 'command' }, commands: Commands): void {
  const reply = (result: object): void => { process.send?.({ test: 'done', id, ...result }) }
  Promise.resolve().then(() => commands[name]?.(argument)).then(
    (result) => { reply({ result }) },
    (error: Error) => { reply({ error: error.message }) }
  )
}
