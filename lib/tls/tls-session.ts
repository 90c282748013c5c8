import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { isUnmanaged } from '../native/binding.js'

/** What is known about a connection's TLS session. Times are milliseconds since 1970. */
export interface TlsSession {
  /** whether the handshake resumed a session, from a ticket or otherwise */
  resumed: boolean
  /** `TLSv1.2`, `TLSv1.3` …; `null` once the connection is closed */
  protocol: string | null
  /** first 8 hex digits of the key name of the presented ticket; `null` on a full handshake */
  keyId: string | null
  /** when the presented ticket was issued; `null` on a full handshake */
  issuedAt: number | null
  /** when the full handshake of this session took place; `null` if the session resumed without a managed ticket */
  authenticatedAt: number | null
  /** application data of the session; always `null` so far */
  data: null
}

// A property, not a WeakMap: over HTTP/2, `request.raw.socket` is a Proxy, which a WeakMap would not find.
const kSession = Symbol('fastify-ticket-keys.session')

type Recorded = { [kSession]?: Omit<TlsSession, 'protocol'> }

/** Records a full handshake that took place at `authenticatedAt`. */
export function recordFullHandshake (socket: TLSSocket, authenticatedAt: number): void {
  record(socket, { resumed: false, keyId: null, issuedAt: null, authenticatedAt, data: null })
}

/** Records a resumed handshake. `ticket` is the addon's data about the ticket, or `null` without a managed ticket. */
export function recordResumption (socket: TLSSocket, ticket: Float64Array | null): void {
  if (ticket === null) {
    record(socket, { resumed: true, keyId: null, issuedAt: null, authenticatedAt: null, data: null })
    return
  }
  const [id, issuedAt, authenticatedAt] = ticket as unknown as [number, number, number]
  record(socket, { resumed: true, keyId: id.toString(16).padStart(8, '0'), issuedAt, authenticatedAt, data: null })
}

function record (socket: TLSSocket & Recorded, session: Omit<TlsSession, 'protocol'>): void {
  socket[kSession] = session
}

/**
 * The TLS session of a socket, including `request.raw.socket` over HTTP/1.1 and HTTP/2. `null` if the socket has no
 * TLS, or if no manager saw its handshake.
 */
export function tlsSession (socket: Socket | TLSSocket | null | undefined): TlsSession | null {
  if (socket === null || socket === undefined) return null
  let session: Recorded[typeof kSession]
  try {
    session = (socket as Socket & Recorded)[kSession]
  } catch {
    // ERR_HTTP2_SOCKET_UNBOUND: the HTTP/2 session has ended.
    return null
  }
  if (session === undefined) return isUnmanaged() ? unmanagedSession(socket as Partial<TLSSocket>) : null
  return { ...session, protocol: (socket as TLSSocket).getProtocol() }
}

/** The session as Node.js knows it, if the option `optional` has left the tickets to Node.js. */
function unmanagedSession (socket: Partial<TLSSocket>): TlsSession | null {
  // A socket without TLS has no such methods. During the handshake, alpnProtocol is null and isSessionReused() may
  // crash Node.js 20.
  if (socket.isSessionReused === undefined || socket.getProtocol === undefined || socket.alpnProtocol === null) return null
  return {
    resumed: socket.isSessionReused(), protocol: socket.getProtocol(), keyId: null, issuedAt: null, authenticatedAt: null, data: null
  }
}
