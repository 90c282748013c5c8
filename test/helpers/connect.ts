import { connect as connectHttp2 } from 'node:http2'
import { connect as connectTls } from 'node:tls'
import type { ConnectionOptions, TLSSocket } from 'node:tls'
import { readAnswer } from './answer.js'
import { serverCert } from './certs.js'
import { rawSession, sessionTicket } from './session.js'

export const PROTOCOLS = ['TLSv1.2', 'TLSv1.3'] as const
export type Protocol = typeof PROTOCOLS[number]

/** How a test client connects. Unless noted otherwise, the defaults are those of `tls.connect`. */
export interface ConnectOptions {
  port: number
  /** Default 127.0.0.1. The ClientHello then has no server name unless `servername` is set. */
  host?: string
  /** A session from an earlier exchange, to be resumed. It may have been made for another server name. */
  session?: Buffer | undefined
  /** The only protocol version offered. */
  protocol?: Protocol
  servername?: string
  /** Default: the authority of `serverCert()`. */
  ca?: string | string[]
  cert?: string
  key?: string
  ecdhCurve?: string
  ciphers?: string
  alpn?: string[]
  /** Default `true`: a server certificate that fails verification is an error. */
  rejectUnauthorized?: boolean
  /** The path to GET, default `/`. `false` sends nothing and reads the response of a raw TLS server. */
  request?: string | false
  /** In ms. The default is 60,000, because a busy machine can be slow. */
  timeout?: number
  /** Other options of `tls.connect`. They override the options above. */
  tls?: ConnectionOptions
}

/** The client's view of one connection. */
export interface Exchange {
  /** Whether the client resumed: `isSessionReused()`. */
  reused: boolean
  protocol: Protocol
  cipher: string
  /** Sessions whose tickets arrived in this connection, oldest first. */
  tickets: Buffer[]
  /**
   * The newest session. TLS 1.3: the last one with a ticket, if any arrived. TLS 1.2: the session of the connection,
   * with the renewed ticket if one arrived.
   */
  session: Buffer | undefined
  /** Whether the client verified the server's certificate. */
  authorized: boolean
  /** SHA-256 fingerprint of the server's certificate, as Node.js writes it. */
  fingerprint: string | undefined
  alpn: string | false
  /** The client's Finished message. The server's `getPeerFinished()` returns the same. */
  finished: Buffer | undefined
  /** The server's Finished message. The server's `getFinished()` returns the same. */
  peerFinished: Buffer | undefined
  /** HTTP status, if the response was HTTP. */
  status: number | undefined
  /** The body of the response. All of the response, if it was not HTTP. */
  body: string
}

/** A connection that failed. */
export class ConnectError extends Error {
  /** Text of the TLS alert from either side, such as `internal error`; undefined if there was none. */
  readonly alert: string | undefined
  /** Node.js's error code. */
  readonly code: string | undefined

  constructor (message: string, cause?: NodeJS.ErrnoException & { reason?: string }) {
    super(message, { cause })
    this.name = 'ConnectError'
    this.code = cause?.code
    this.alert = / alert (.+)/.exec(cause?.reason ?? '')?.[1]
  }
}

/**
 * Makes one connection over HTTP/1.1 or raw TLS: handshake, request, response, close. Throws a {@link ConnectError}.
 */
export async function connect (options: ConnectOptions): Promise<Exchange> {
  const { socket, handshake } = await open(options)
  const request = options.request ?? '/'
  return await new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    const fail = failWith(socket, reject)
    const succeed = (): void => {
      if (handshake.done === undefined) return fail('closed before the handshake was finished')
      if (chunks.length === 0 && request !== false) return fail('closed without an answer')
      socket.destroy()
      resolve({ ...handshake.result(), ...readAnswer(Buffer.concat(chunks)) })
    }
    socket.setTimeout(options.timeout ?? 60_000, () => { fail('timed out') })
    socket.on('secureConnect', () => {
      if (request === false || socket.destroyed) return
      socket.write(`GET ${request} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`)
    })
    socket.on('data', (chunk: Buffer) => { chunks.push(chunk) })
    socket.on('end', succeed)
    socket.on('close', succeed)
    socket.on('error', (error: NodeJS.ErrnoException) => {
      // A raw server may respond without reading the request. The kernel then sends a reset after the response.
      if (chunks.length > 0 && error.code === 'ECONNRESET') succeed()
      else fail(error.message, error)
    })
  })
}

/** Makes one connection over HTTP/2. Throws a {@link ConnectError}. */
export async function connectH2 (options: ConnectOptions): Promise<Exchange> {
  const { socket, handshake } = await open({ alpn: ['h2'], ...options })
  return await new Promise((resolve, reject) => {
    const fail = failWith(socket, reject)
    const failure = (error: Error): void => { fail(error.message, error) }
    socket.setTimeout(options.timeout ?? 60_000, () => { fail('timed out') })
    const early = (): void => { fail('closed before the handshake was finished') }
    socket.on('error', failure)
    socket.on('close', early)
    socket.on('secureConnect', () => {
      if (socket.destroyed) return
      socket.off('close', early)
      const client = connectHttp2('https://localhost', { createConnection: () => socket })
      const stream = client.request({ ':path': options.request === false ? '/' : options.request ?? '/' })
      let status: number | undefined
      let body = ''
      client.on('error', failure)
      client.on('close', () => {
        if (status === undefined) fail('closed without an answer')
        else resolve({ ...handshake.result(), status, body })
      })
      stream.setEncoding('utf8')
      stream.on('error', failure)
      stream.on('response', (headers) => { status = headers[':status'] })
      stream.on('data', (chunk: string) => { body += chunk })
      stream.on('end', () => { client.close() })
    })
  })
}

type Handshake = Omit<Exchange, 'status' | 'body' | 'tickets' | 'session'>

async function open (options: ConnectOptions): Promise<{ socket: TLSSocket, handshake: Observer }> {
  const {
    port, host = '127.0.0.1', session, protocol, alpn, rejectUnauthorized = true, request, timeout, tls, ...rest
  } = options
  const socket = connectTls({
    port,
    host,
    ca: (await serverCert()).ca.cert,
    session: session === undefined ? session : rawSession(session),
    rejectUnauthorized: false, // else Node.js would refuse a raw session; the result is checked below
    ...rest,
    ...(protocol !== undefined && { minVersion: protocol, maxVersion: protocol }),
    ...(alpn !== undefined && { ALPNProtocols: alpn }),
    ...tls
  })
  const handshake = new Observer(socket, session)
  socket.on('secureConnect', () => {
    const code = String(socket.authorizationError)
    if (rejectUnauthorized && !socket.authorized) socket.destroy(Object.assign(new Error(`server: ${code}`), { code }))
  })
  return { socket, handshake }
}

/** Records the properties of a client socket that are only available while it is open. */
class Observer {
  done: Handshake | undefined
  #tickets: Buffer[] = []
  #session: Buffer | undefined

  constructor (socket: TLSSocket, offered: Buffer | undefined) {
    socket.on('secureConnect', () => {
      this.done = {
        reused: socket.isSessionReused(),
        protocol: socket.getProtocol() as Protocol,
        cipher: socket.getCipher().name,
        authorized: socket.authorized,
        fingerprint: socket.getPeerCertificate().fingerprint256,
        alpn: socket.alpnProtocol ?? false,
        finished: socket.getFinished(),
        peerFinished: socket.getPeerFinished()
      }
      // A TLS 1.2 server sends the ticket before its Finished message. A renewed ticket emits no 'session' event.
      if (this.done.protocol === 'TLSv1.2') this.#see12(socket.getSession(), offered)
    })
    socket.on('session', (session: Buffer) => {
      if (this.done?.protocol !== 'TLSv1.3') return
      this.#session = rawSession(session)
      this.#tickets.push(this.#session)
    })
  }

  result (): Handshake & Pick<Exchange, 'tickets' | 'session'> {
    if (this.done === undefined) throw new ConnectError('the handshake was not finished')
    return { ...this.done, tickets: this.#tickets, session: this.#session }
  }

  #see12 (session: Buffer | undefined, offered: Buffer | undefined): void {
    if (session === undefined) return
    this.#session = rawSession(session)
    const ticket = sessionTicket(session)
    if (ticket.length === 0 || (offered !== undefined && ticket.equals(sessionTicket(offered)))) return
    this.#tickets.push(this.#session)
  }
}

function failWith (socket: TLSSocket, reject: (error: Error) => void): (message: string, cause?: Error) => void {
  return (message, cause) => {
    socket.destroy()
    reject(new ConnectError(message, cause))
  }
}
