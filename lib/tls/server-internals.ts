import { createHash } from 'node:crypto'
import type { Socket } from 'node:net'
import tls from 'node:tls'
import { addon } from '../native/binding.js'
import type { CapturedContext } from '../native/types.js'

/** Undocumented members of tls.Server, which are the same in every supported Node.js version. */
export interface TlsServerInternals extends tls.Server {
  _sharedCreds?: tls.SecureContext
  /** whether the server requests client certificates */
  requestCert?: boolean
  /** the arguments of addContext calls: pattern, native context */
  _contexts: Array<[RegExp, unknown]>
  ticketKeys?: Buffer
  ca?: unknown
  sigalgs?: string
  ecdhCurve?: string
  sessionIdContext?: string
  /** seconds */
  sessionTimeout?: number
}

/** Whether this is a server whose tickets can be managed: `https`, `http2` with TLS, `tls`. */
export function isTlsServer (server: unknown): server is TlsServerInternals {
  return server instanceof tls.Server && (server as TlsServerInternals)._sharedCreds !== undefined
}

/** The session ID contexts that the owners of servers have set. */
const ownContexts = new WeakMap<object, string>()

/**
 * The session ID context that the server's owner has set; '' without one. `setSecureContext` without this option resets the
 * server's property to Node.js's default, so the last explicit value stays valid: renewing a certificate ends no session.
 */
export function ownSessionIdContext (server: TlsServerInternals): string {
  const { sessionIdContext } = server
  if (sessionIdContext !== undefined && sessionIdContext !== defaultSessionIdContext()) ownContexts.set(server, sessionIdContext)
  return ownContexts.get(server) ?? ''
}

/** Node.js's default for this process. */
function defaultSessionIdContext (): string {
  return createHash('sha1').update(process.argv.join(' ')).digest('hex').slice(0, 32)
}

/** Captured contexts by native context. */
const captured = new WeakMap<object, CapturedContext>()

/** The addon's handle for a native context; `null` if there is none. Captures each context only once. */
export function captureContext (native: unknown): CapturedContext | null {
  if (typeof native !== 'object' || native === null) return null
  const found = captured.get(native)
  if (found !== undefined) return found
  const context = addon().captureContext(() => makeSocket({ context: native }))
  if (context !== null) captured.set(native, context)
  return context
}

/** Creates a server-side socket, in which the addon finds the context. The socket never carries data. */
function makeSocket (secureContext: tls.SecureContext): tls.TLSSocket {
  // No underlying stream, as in `tls.connect`. A Duplex would cost three times as much.
  const socket = new tls.TLSSocket(undefined as unknown as Socket, { isServer: true, secureContext })
  socket.on('error', () => {})
  // Frees the SSL after the addon has read its context.
  setImmediate(() => socket.destroy())
  return socket
}
