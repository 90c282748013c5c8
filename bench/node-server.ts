// A server in its own process. Sends its ports when it listens, as `Listening`.
//   node-server.ts KIND KEY CERT [CA]
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type Server, type ServerOptions } from 'node:https'
import type { AddressInfo } from 'node:net'
import { createSecureContext } from 'node:tls'
import { isMainThread, Worker, workerData, parentPort } from 'node:worker_threads'
import Fastify from 'fastify'
import ticketKeys, { createTicketKeys, type TicketKeysOptions } from 'fastify-ticket-keys'
import { threadCode } from '../test/helpers/typescript.js'
import { useNodeCallback } from './node-callback.js'

const HOSTS = 10_000
const KEYS = 256

/** What the process sends when it listens. */
export interface Listening {
  ports: number[]
  /** the port of the metrics, over plain HTTP */
  metricsPort?: number
}

const given = isMainThread ? process.argv.slice(2) : workerData as string[]
const [kind = '', keyFile = '', certFile = '', caFile = '', handle = ''] = given
const certificate: ServerOptions = { key: readFileSync(keyFile), cert: readFileSync(certFile) }

/** Starts a server by its kind. */
const KINDS: Record<string, () => Promise<void>> = {
  plain: async () => { await listen(plain()) },
  callback: async () => { await listen(useNodeCallback(plain())) },
  managed: async () => { await listen(await managed()) },
  fastify: runFastify,
  '1 key': async () => { await listen(await managed({ source: { type: 'static', keys: randomKeys(1) } })) },
  '256 keys': async () => { await listen(await managed({ source: { type: 'static', keys: randomKeys(KEYS) } })) },
  '1 thread': async () => { await runThreads(1) },
  '4 threads': async () => { await runThreads(4) },
  thread: async () => { await listen(await managed({ source: { type: 'shared', handle: Number(handle) } })) },
  hosts: async () => { await listen(addHosts(await managed())) },
  'plain hosts': async () => { await listen(addHosts(plain())) },
  'client certificates': async () => { await listen(await managed({}, mutual())) },
  'plain client certificates': async () => { await listen(plain(mutual())) }
}

const run = KINDS[kind]
if (run === undefined) throw new Error(`there is no server called ${kind}`)
await run()

function mutual (): ServerOptions {
  return { ca: readFileSync(caFile), requestCert: true }
}

function plain (options: ServerOptions = {}): Server {
  return createServer({ ...certificate, ...options }, (_request, response) => response.end('ok'))
}

async function managed (own: TicketKeysOptions = {}, options: ServerOptions = {}): Promise<Server> {
  const server = plain(options)
  const keys = await createTicketKeys({ environment: false, ...own })
  keys.attach(server)
  return server
}

function randomKeys (count: number): Buffer[] {
  return Array.from({ length: count }, () => randomBytes(80))
}

function addHosts (server: Server): Server {
  const context = createSecureContext(certificate)
  for (let host = 0; host < HOSTS; host++) server.addContext(`host${host}.example`, context)
  return server
}

async function listen (server: Server): Promise<void> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  tell({ ports: [(server.address() as AddressInfo).port] })
}

function tell (listening: Listening): void {
  if (isMainThread) process.send?.(listening)
  else parentPort?.postMessage(listening)
}

/** The metrics have a server of their own, so that a scrape makes no TLS connection. */
async function runFastify (): Promise<void> {
  const [app, instance] = [Fastify({ https: certificate }), Fastify()]
  await app.register(ticketKeys, { environment: false, metrics: { instance } })
  app.get('/', async () => 'ok')
  const [port, metricsPort] = await Promise.all([app, instance].map(async (server) => {
    return Number(new URL(await server.listen({ host: '127.0.0.1', port: 0 })).port)
  })) as [number, number]
  tell({ ports: [port], metricsPort })
}

/** All threads use the ring of the main thread's manager. */
async function runThreads (count: number): Promise<void> {
  const owner = await createTicketKeys({ environment: false })
  const ports: number[] = []
  for (let thread = 0; thread < count; thread++) {
    const data = ['thread', keyFile, certFile, caFile, String(owner.handle)]
    const worker = new Worker(threadCode(import.meta.url), { eval: true, execArgv: [], workerData: data })
    const [listening] = await once(worker, 'message') as [Listening]
    ports.push(...listening.ports)
  }
  tell({ ports })
}
