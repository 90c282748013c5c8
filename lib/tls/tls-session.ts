import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { isUnmanaged } from '../native/binding.js'

/** What is known about a connection's TLS session. Times are milliseconds since 1970. */
export interface TlsSession {
  /** whether the handshake resumed a session, from a ticket or otherwise */
  resumed: boolean
  /** `TLSv1.2`, `TLSv1.3` …; `null` once the connection is closed */
  protocol: string | null
  /**
   * the server name (SNI) that the session is bound to, in lower case without a trailing dot; `null` if the client sent
   * none, or if the session resumed without a managed ticket
   */
  serverName: string | null
  /** first 8 hex digits of the key name of the presented ticket; `null` on a full handshake */
  keyId: string | null
  /** when the presented ticket was issued; `null` on a full handshake */
  issuedAt: number | null
  /** when the full handshake of this session took place; `null` if the session resumed without a managed ticket */
  authenticatedAt: number | null
  /** what the option `sessionData` keeps with the session; `null` without it */
  data: Buffer | null
}

// A property, not a WeakMap: over HTTP/2, `request.raw.socket` is a Proxy, which a WeakMap would not find.
const kSession = Symbol('fastify-ticket-keys.session')

/** What was recorded at the end of the handshake. */
type Recording = Omit<TlsSession, 'protocol' | 'data'> & { readData: ReadData | null }

type Recorded = { [kSession]?: Recording }

/** Returns what the application keeps with the session. Asks the application if it was not asked before. */
type ReadData = () => Buffer | null

/** What the addon says about the ticket of a resumed handshake (`handshakeDone` in lib/native/types.ts). */
export interface ResumedTicket {
  numbers: Float64Array
  serverName: string
  readData: ReadData | null
}

/** Records a full handshake that took place at `authenticatedAt`. */
export function recordFullHandshake (socket: TLSSocket, authenticatedAt: number, readData: ReadData | null): void {
  record(socket, { resumed: false, serverName: serverNameOf(socket), keyId: null, issuedAt: null, authenticatedAt, readData })
}

/** Records a resumed handshake. `ticket` is the addon's data about the ticket, or `null` without a managed ticket. */
export function recordResumption (socket: TLSSocket, ticket: ResumedTicket | null): void {
  if (ticket === null) {
    record(socket, { resumed: true, serverName: null, keyId: null, issuedAt: null, authenticatedAt: null, readData: null })
    return
  }
  const [id, issuedAt, authenticatedAt] = ticket.numbers as unknown as [number, number, number]
  // TLS 1.2: Node.js does not know the server name of a resumed connection. The ticket contains the name.
  const serverName = ticket.serverName === '' ? null : ticket.serverName
  const keyId = id.toString(16).padStart(8, '0')
  record(socket, { resumed: true, serverName, keyId, issuedAt, authenticatedAt, readData: ticket.readData })
}

/** The name that the client sent, in the form in which a ticket contains it. */
function serverNameOf ({ servername }: { servername?: string | false | null }): string | null {
  if (typeof servername !== 'string') return null
  return servername.replace(/(?<=.)\.$/, '').replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase())
}

function record (socket: TLSSocket & Recorded, session: Recording): void {
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
  const { readData, ...rest } = session
  return {
    ...rest,
    protocol: (socket as TLSSocket).getProtocol(),
    /** a getter, because reading the data may call the application's function */
    get data () { return readData === null ? null : readData() }
  }
}

/** The session as Node.js knows it, if the option `optional` has left the tickets to Node.js. */
function unmanagedSession (socket: Partial<TLSSocket>): TlsSession | null {
  // A socket without TLS has no such methods. During the handshake, alpnProtocol is null and isSessionReused() may
  // crash Node.js 20.
  if (socket.isSessionReused === undefined || socket.getProtocol === undefined || socket.alpnProtocol === null) return null
  return {
    resumed: socket.isSessionReused(),
    protocol: socket.getProtocol(),
    serverName: null,
    keyId: null,
    issuedAt: null,
    authenticatedAt: null,
    data: null
  }
}
