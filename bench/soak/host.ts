import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { createSecureServer } from 'node:http2'
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import { createServer } from 'node:https'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo, Server, Socket } from 'node:net'
import type { PeerCertificate, SecureContext, TlsOptions, TLSSocket } from 'node:tls'
import type { KeyPair } from '../../test/helpers/certs.js'
import type { Log } from '../../lib/util/log.js'
import type { TicketStats } from '../../lib/manager/stats.js'

/*
 * What every process with servers has in common.
 */

/** How long tickets and chains of renewed tickets resume, and the other options of every manager. */
export const LIFETIME_MS = 60_000
export const MAX_SESSION_AGE_MS = 120_000
export const MANAGER = {
  rotationInterval: '5s', ticketLifetime: LIFETIME_MS, maxSessionAge: MAX_SESSION_AGE_MS, environment: false
} as const

/** The certificates of a run. */
export interface Credentials {
  /** certificates of the servers, all with the same host names */
  servers: KeyPair[]
  /** CAs of client certificates */
  clientCas: string[]
}

/** What the server knows about a connection. It is the body of every response, as JSON. */
export interface Seen {
  reused: boolean
  /** common name of the client's certificate */
  peer: string | null
}

export interface Listener {
  port: number
  http2: boolean
}

/** The connections that a group of servers has accepted, and those that are still open. */
export interface Connections {
  accepted: number
  open: number
}

/** The servers under one manager. */
export interface GroupState extends Connections {
  stats: TicketStats
}

export interface ProcessState {
  groups: Record<string, GroupState>
  /** error messages that no event has caused, and warnings */
  log: string[]
  memory: Memory
}

/** All sizes in bytes, after a garbage collection. */
export interface Memory {
  resident: number
  heap: number
  descriptors: number
  /** what keeps Node.js's event loop alive */
  handles: number
  /** TLS contexts that were made and not collected */
  contexts: number
}

let contexts = 0
const collected = new FinalizationRegistry<undefined>(() => { contexts-- })

/** Counts a context until it is collected. */
export function follow (context: SecureContext | undefined): void {
  if (context === undefined) return
  contexts++
  collected.register(context, undefined)
}

/** Counts the present context of a server. */
export function followOwn (server: Server): void {
  follow((server as Server & { _sharedCreds?: SecureContext })._sharedCreds)
}

export async function readMemory (): Promise<Memory> {
  // Finalizers of the first collection release what only the second can collect.
  for (let i = 0; i < 2; i++) {
    globalThis.gc?.()
    await new Promise(setImmediate)
  }
  const { rss, heapUsed, external } = process.memoryUsage()
  return {
    resident: rss,
    heap: heapUsed + external,
    descriptors: readdirSync('/proc/self/fd').length,
    handles: process.getActiveResourcesInfo().length,
    contexts
  }
}

/** Makes a server whose responses contain what it knows about the connection. */
export function makeServer (options: TlsOptions, http2: boolean): Server {
  const respond = ({ socket }: { socket: Socket }, response: { end: (body: string) => void }): void => {
    const tls = socket as TLSSocket
    const name = (tls.getPeerCertificate() as Partial<PeerCertificate>).subject?.CN
    response.end(JSON.stringify({ reused: tls.isSessionReused(), peer: typeof name === 'string' ? name : null } satisfies Seen))
  }
  const server = http2
    ? createSecureServer(options, (request: Http2ServerRequest, response: Http2ServerResponse) => { respond(request, response) })
    : createServer(options, (request: IncomingMessage, response: ServerResponse) => { respond(request, response) })
  followOwn(server)
  return server
}

/** Listens on a free port, and counts the connections. */
export async function listen (server: Server, connections: Connections): Promise<number> {
  server.on('connection', (socket: Socket) => {
    connections.accepted++
    connections.open++
    socket.on('close', () => { connections.open-- })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

/** Keeps warnings and errors, except those that the events of a run cause. */
export class SoakLog implements Log {
  readonly lines: string[] = []
  /** matches the messages that events cause */
  readonly #expected = /RLIMIT_MEMLOCK|the last good keys stay/

  info (): void {}
  warn (message: string): void { this.#keep('warning', message) }
  error (message: string): void { this.#keep('error', message) }

  #keep (level: string, message: string): void {
    if (!this.#expected.test(message)) this.lines.push(`${level}: ${message}`)
  }
}

/** Ends this process when its parent has ended. */
export function endWithParent (): void {
  process.on('disconnect', () => { process.exit() })
}
