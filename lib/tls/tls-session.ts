import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { isUnmanaged } from '../native/binding.js'

/** What is known about a connection's TLS session. Times are milliseconds since 1970. */
export interface TlsSession {
  /** whether the handshake was a resumed one, by a ticket or otherwise */
  resumed: boolean
  /** `TLSv1.2`, `TLSv1.3` …; `null` once the connection is gone */
  protocol: string | null
  /** of the ticket that the client presented: first 8 hex digits of its key's name; `null` on a full handshake */
  keyId: string | null
  /** when that ticket was issued; `null` on a full handshake */
  issuedAt: number | null
  /** when the full handshake was that this session goes back to; `null` where a session came without a ticket of ours */
  authenticatedAt: number | null
  /** application data of the session: none yet */
  data: null
}

// A property, not a WeakMap: over HTTP/2 `request.raw.socket` is a Proxy, which a WeakMap does not know.
const kSession = Symbol('fastify-ticket-keys.session')

type Noted = { [kSession]?: Omit<TlsSession, 'protocol'> }

/** Remembers a full handshake of this moment. */
export function noteFullHandshake (socket: TLSSocket, authenticatedAt: number): void {
  note(socket, { resumed: false, keyId: null, issuedAt: null, authenticatedAt, data: null })
}

/** Remembers what the addon said of the ticket that a connection resumed from, or that there was none. */
export function noteResumption (socket: TLSSocket, ticket: Float64Array | null): void {
  if (ticket === null) {
    note(socket, { resumed: true, keyId: null, issuedAt: null, authenticatedAt: null, data: null })
    return
  }
  const [id, issuedAt, authenticatedAt] = ticket as unknown as [number, number, number]
  note(socket, { resumed: true, keyId: id.toString(16).padStart(8, '0'), issuedAt, authenticatedAt, data: null })
}

function note (socket: TLSSocket & Noted, session: Omit<TlsSession, 'protocol'>): void {
  socket[kSession] = session
}

/**
 * The TLS session of a socket (of `request.raw.socket` too, over HTTP/1.1 and HTTP/2); `null` if it has no TLS, or if its
 * handshake was not seen by a manager.
 */
export function tlsSession (socket: Socket | TLSSocket | null | undefined): TlsSession | null {
  if (socket === null || socket === undefined) return null
  let session: Noted[typeof kSession]
  try {
    session = (socket as Socket & Noted)[kSession]
  } catch {
    // ERR_HTTP2_SOCKET_UNBOUND: the HTTP/2 session has ended.
    return null
  }
  if (session === undefined) return isUnmanaged() ? unmanagedSession(socket as Partial<TLSSocket>) : null
  return { ...session, protocol: (socket as TLSSocket).getProtocol() }
}

/** What Node.js itself knows, where `optional` has left the tickets to it. */
function unmanagedSession (socket: Partial<TLSSocket>): TlsSession | null {
  // Without TLS there is no such method. During the handshake alpnProtocol is null, and isSessionReused() may crash Node.js 20.
  if (socket.isSessionReused === undefined || socket.getProtocol === undefined || socket.alpnProtocol === null) return null
  return {
    resumed: socket.isSessionReused(), protocol: socket.getProtocol(), keyId: null, issuedAt: null, authenticatedAt: null, data: null
  }
}
