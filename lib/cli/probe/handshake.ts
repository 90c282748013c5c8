import { connect } from 'node:tls'
import type { SecureContext, TLSSocket } from 'node:tls'
import { bindTo } from './session-binding.js'
import { readTicket } from './session.js'
import type { Ticket } from './session.js'
import type { Protocol } from './report.js'
import { place } from './targets.js'

// Without a request nothing follows the tickets, so that only silence tells that all have come: this long, or two handshakes' time.
const QUIET = 100
// After a request the end of the connection tells. A server that doesn't close is left after this long, or four handshakes' time:
// its tickets left in one go with its side of the handshake, ahead of any answer.
const QUIET_AFTER_REQUEST = 500
// Silence is waited for in so many steps: a timer that is late, since this process was held up, comes before what has arrived meanwhile is
// read.
const STEPS = 5

/** How to connect to one address. */
export interface Client {
  address: string
  port: number
  /** Server name to send (SNI); `null` for none. */
  servername: string | null
  protocol: Protocol
  /** Trusted authorities and protocol versions. */
  context: SecureContext
  /** Whether the certificate has to be trusted. */
  verify: boolean
  /** Whether the certificate has to be for the server name, or address. */
  verifyName: boolean
  /** Protocols offered by ALPN. */
  alpn: string[]
  /** Whether to send an HTTP request, if ALPN doesn't end with something other than HTTP/1. */
  http: boolean
  /** How long a connection may take, in ms. */
  timeout: number
}

/** A session that a ticket came with: what the ticket is offered by. */
export interface HeldTicket extends Ticket {
  session: Buffer
}

/** A finished handshake. */
export interface Handshake {
  resumed: boolean
  /** Tickets that this connection gave, without the one it was made with. */
  tickets: HeldTicket[]
}

/**
 * Makes one connection, offering `held`, and closes it when all tickets have arrived.
 * Rejects with what ended the connection if the handshake does not finish within `client.timeout`.
 */
export function handshake (client: Client, held?: HeldTicket): Promise<Handshake> {
  return new Promise((resolve, reject) => {
    const tickets: HeldTicket[] = []
    const started = performance.now()
    let finished: { resumed: boolean } | undefined
    let failure: NodeJS.ErrnoException = new Error('closed before the handshake ended')
    let quiet: NodeJS.Timeout | undefined
    let quietTime = 0

    const socket = open(client, held)
    const leave = (): void => { socket.destroySoon() }
    const wait = (steps = STEPS): void => {
      clearTimeout(quiet)
      quiet = setTimeout(() => {
        if (steps > 1) wait(steps - 1)
        else leave()
      }, quietTime / STEPS)
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
      // isSessionReused() crashes Node.js 20 on a socket that died in its handshake: it is asked here and nowhere else.
      finished = { resumed: socket.isSessionReused() }
      if (client.protocol === 'TLSv1.2') {
        // The ticket comes inside the handshake (RFC 5077 section 3.3). A resumed one's makes no 'session' event, but is in getSession().
        const session = socket.getSession()
        if (session !== undefined) hold(session)
        leave()
        return
      }
      const request = client.http && speaksHttp1(socket)
      const elapsed = performance.now() - started
      quietTime = request ? Math.max(QUIET_AFTER_REQUEST, 4 * elapsed) : Math.max(QUIET, 2 * elapsed)
      const authority = place({ address: client.servername ?? client.address, port: client.port })
      if (request) socket.write(`HEAD / HTTP/1.1\r\nHost: ${authority}\r\nUser-Agent: fastify-ticket-keys\r\nConnection: close\r\n\r\n`)
      wait()
    })
    socket.on('data', () => { if (finished !== undefined) wait() })
    socket.once('error', (error) => { failure = error })
    socket.once('close', () => {
      clearTimeout(quiet)
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

// A TLS 1.3 server can refuse after the client thinks that all is well, as for want of a client certificate (RFC 8446 section 4.4.2.4).
// A reset, on the other hand, only shows how the server closes.
function isAlert (error: NodeJS.ErrnoException): boolean {
  return error.code?.startsWith('ERR_SSL_') ?? false
}

function speaksHttp1 (socket: TLSSocket): boolean {
  const chosen = socket.alpnProtocol
  return typeof chosen !== 'string' || chosen === '' || chosen.startsWith('http/1.')
}
