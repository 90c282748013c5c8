import { once } from 'node:events'
import { createSecureServer } from 'node:http2'
import type { SecureServerOptions } from 'node:http2'
import { createServer as createHttpsServer } from 'node:https'
import type { AddressInfo, Server, Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import type { TlsOptions, TLSSocket } from 'node:tls'
import { serverCert } from './certs.js'

/** The server's view of one finished handshake, from `secureConnection`. */
export interface Handshake {
  reused: boolean
  protocol: string | null
  authorized: boolean
  /**
   * `socket.servername`: the server name that the client sent. `false` if it sent none, or if it resumed a TLS 1.2
   * session of another name.
   */
  servername: string | false
  /** The client's Finished message, equal to the client's `finished`. */
  finished: Buffer | undefined
}

/** A plain Node.js server that listens on loopback. */
export interface PlainServer<S extends Server = Server> {
  server: S
  port: number
  /** All finished handshakes, oldest first. */
  handshakes: Handshake[]
}

const open = new Map<Server, Set<Socket>>()

/** Listens on a free port, and returns the port. {@link closeAll} closes the server. */
export async function listen (server: Server, host = '127.0.0.1'): Promise<number> {
  const sockets = new Set<Socket>()
  open.set(server, sockets)
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('close', () => { sockets.delete(socket) })
  })
  server.listen(0, host)
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

/** Closes every server that was passed to {@link listen}, and its connections. For `t.teardown`. */
export async function closeAll (): Promise<void> {
  const servers = [...open]
  open.clear()
  await Promise.all(servers.map(async ([server, sockets]) => {
    const closed = new Promise((resolve) => { server.close(resolve) })
    for (const socket of sockets) socket.destroy()
    await closed
  }))
}

/** Records the finished handshakes of a TLS server. */
export function watch (server: Server): Handshake[] {
  const handshakes: Handshake[] = []
  server.on('secureConnection', (socket: TLSSocket & { servername?: string | false }) => {
    handshakes.push({
      reused: socket.isSessionReused(),
      protocol: socket.getProtocol(),
      authorized: socket.authorized,
      servername: socket.servername ?? false,
      finished: socket.getPeerFinished()
    })
  })
  return handshakes
}

/** Lets a server resume TLS 1.2 sessions by session ID, for clients without tickets. */
export function cacheSessions (server: Server): Map<string, Buffer> {
  const sessions = new Map<string, Buffer>()
  server.on('newSession', (id: Buffer, session: Buffer, done: () => void) => {
    sessions.set(id.toString('hex'), session)
    done()
  })
  server.on('resumeSession', (id: Buffer, done: (error: Error | null, session: Buffer | null) => void) => {
    done(null, sessions.get(id.toString('hex')) ?? null)
  })
  return sessions
}

/**
 * Starts an HTTPS server that responds with `reused=true` or `reused=false`. The default certificate is `serverCert()`.
 */
export async function plainHttps (options: TlsOptions = {}): Promise<PlainServer<ReturnType<typeof createHttpsServer>>> {
  return await start(createHttpsServer(await withCert(options), (request, response) => {
    response.end(answer(request.socket as TLSSocket))
  }))
}

/** Starts an HTTP/2 server with the same response. */
export async function plainHttp2 (options: SecureServerOptions = {}): Promise<PlainServer<ReturnType<typeof createSecureServer>>> {
  return await start(createSecureServer(await withCert(options), (request, response) => {
    response.end(answer(request.socket as TLSSocket))
  }))
}

/** Starts a raw TLS server that sends the same text and ends the connection. */
export async function plainTls (options: TlsOptions = {}): Promise<PlainServer<ReturnType<typeof createTlsServer>>> {
  return await start(createTlsServer(await withCert(options), (socket) => {
    socket.on('error', () => {}) // a client may disconnect before it has read the response
    socket.resume()
    socket.end(answer(socket))
  }))
}

function answer (socket: TLSSocket): string {
  return `reused=${socket.isSessionReused()}`
}

async function withCert<O extends TlsOptions> (options: O): Promise<O> {
  const { key, cert } = await serverCert()
  return { key, cert, ...options }
}

async function start<S extends Server> (server: S): Promise<PlainServer<S>> {
  const handshakes = watch(server)
  return { server, port: await listen(server), handshakes }
}
