import { connect } from 'node:tls'
import type { SecureContext, TLSSocket } from 'node:tls'
import { bindTo } from './session-binding.js'
import { readTicket } from './session.js'
import type { Ticket } from './session.js'
import type { Protocol } from './report.js'
import { formatAddress } from './targets.js'

// Without a request, only silence shows that all tickets have arrived: this many ms, or twice the handshake's duration
// if that is longer.
const SILENCE_MS = 100
// With a request, the end of the connection shows that all tickets have arrived. Some servers do not close: leave after
// this many ms, or after four times the handshake's duration if that is longer. Servers send their tickets with their
// side of the handshake, before any response.
const SILENCE_AFTER_REQUEST_MS = 500
// Each wait is split into this many timers. If this process was blocked, a late timer fires before Node.js reads the
// data that has arrived. The next timers give Node.js time to read this data.
const TIMERS_PER_WAIT = 5

/** How to connect to one address. */
export interface Client {
  address: string
  port: number
  /** Server name to send (SNI); `null` for none. */
  servername: string | null
  protocol: Protocol
  /** Trusted authorities and protocol versions. */
  context: SecureContext
  /** Whether the certificate must be trusted. */
  verify: boolean
  /** Whether the certificate must be valid for the server name, or for the address. */
  verifyName: boolean
  /** Protocols offered by ALPN. */
  alpn: string[]
  /** Whether to send an HTTP request. None is sent if ALPN selects a protocol other than HTTP/1. */
  http: boolean
  /** Time limit for a connection, in ms. */
  timeout: number
}

/** A ticket, with the session that a client needs to present it. */
export interface HeldTicket extends Ticket {
  session: Buffer
}

/** A finished handshake. */
export interface Handshake {
  resumed: boolean
  /** New tickets of this connection, without the ticket that it presented. */
  tickets: HeldTicket[]
}

/**
 * Makes one connection that presents `held`, and closes it when all tickets have arrived. Rejects with the connection's
 * error, or if the handshake does not finish within `client.timeout`.
 */
export function handshake (client: Client, held?: HeldTicket): Promise<Handshake> {
  return new Promise((resolve, reject) => {
    const tickets: HeldTicket[] = []
    const started = performance.now()
    let finished: { resumed: boolean } | undefined
    let failure: NodeJS.ErrnoException = new Error('closed before the handshake ended')
    let silenceTimer: NodeJS.Timeout | undefined
    let silenceMs = 0

    const socket = open(client, held)
    const leave = (): void => { socket.destroySoon() }
    const wait = (timersLeft = TIMERS_PER_WAIT): void => {
      clearTimeout(silenceTimer)
      silenceTimer = setTimeout(() => {
        if (timersLeft > 1) wait(timersLeft - 1)
        else leave()
      }, silenceMs / TIMERS_PER_WAIT)
    }
    const hold = (session: Buffer): void => {
      const ticket = readTicket(session)
      if (ticket === undefined || [held, ...tickets].some((other) => other?.bytes.equals(ticket.bytes))) return
      tickets.push({ ...ticket, session })
    }
    const limit = setTimeout(() => {
      if (finished === undefined) socket.destroy(new Error(`no TLS handshake within ${client.timeout} ms`))
      else leave()
    }, client.timeout)

    socket.on('session', (session: Buffer) => {
      hold(session)
      if (finished !== undefined) wait()
    })
    socket.once('secureConnect', () => {
      // On Node.js 20, isSessionReused() crashes if the socket died during its handshake. Call it only here.
      finished = { resumed: socket.isSessionReused() }
      if (client.protocol === 'TLSv1.2') {
        // The ticket is part of the handshake (RFC 5077 section 3.3). A resumed handshake emits no 'session' event for
        // a new ticket, but getSession() contains it.
        const session = socket.getSession()
        if (session !== undefined) hold(session)
        leave()
        return
      }
      const request = client.http && speaksHttp1(socket)
      const elapsed = performance.now() - started
      silenceMs = request ? Math.max(SILENCE_AFTER_REQUEST_MS, 4 * elapsed) : Math.max(SILENCE_MS, 2 * elapsed)
      const authority = formatAddress({ address: client.servername ?? client.address, port: client.port })
      if (request) socket.write(`HEAD / HTTP/1.1\r\nHost: ${authority}\r\nUser-Agent: fastify-ticket-keys\r\nConnection: close\r\n\r\n`)
      wait()
    })
    socket.on('data', () => { if (finished !== undefined) wait() })
    socket.once('error', (error: NodeJS.ErrnoException) => { failure = error })
    socket.once('close', () => {
      clearTimeout(silenceTimer)
      clearTimeout(limit)
      if (finished === undefined || isAlert(failure)) reject(failure)
      else resolve({ ...finished, tickets })
    })
  })
}

function open (client: Client, held?: HeldTicket): TLSSocket {
  return connect({
    host: client.address,
    port: client.port,
    servername: client.servername ?? '',
    secureContext: client.context,
    rejectUnauthorized: client.verify,
    ...(client.verifyName ? {} : { checkServerIdentity: () => undefined }),
    ...(client.alpn.length > 0 ? { ALPNProtocols: client.alpn } : {}),
    ...(held === undefined ? {} : { session: bindTo(client.servername ?? client.address, held.session) })
  })
}

// A TLS 1.3 server can refuse the client after the client's handshake has finished, for example because there is no
// client certificate (RFC 8446 section 4.4.2.4). A reset only shows how the server closes connections.
function isAlert (error: NodeJS.ErrnoException): boolean {
  return error.code?.startsWith('ERR_SSL_') ?? false
}

function speaksHttp1 (socket: TLSSocket): boolean {
  const chosen = socket.alpnProtocol
  return typeof chosen !== 'string' || chosen === '' || chosen.startsWith('http/1.')
}
