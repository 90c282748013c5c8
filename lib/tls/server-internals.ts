import type { Socket } from 'node:net'
import tls from 'node:tls'
import { addon } from '../native/binding.js'
import type { CapturedContext } from '../native/types.js'

/** What tls.Server has beside its documented members, the same in every supported Node.js. */
export interface TlsServerInternals extends tls.Server {
  _sharedCreds?: tls.SecureContext
  /** whether connections ask for client certificates */
  requestCert?: boolean
  /** what addContext was given: pattern, native context */
  _contexts: Array<[RegExp, unknown]>
  ticketKeys?: Buffer
}

/** Whether this is a server whose tickets can be managed: `https`, `http2` with TLS, `tls`. */
export function isTlsServer (server: unknown): server is TlsServerInternals {
  return server instanceof tls.Server && (server as TlsServerInternals)._sharedCreds !== undefined
}

/** By native context. */
const captured = new WeakMap<object, CapturedContext>()

/** The addon's handle of a native context; `null` where there is none. Each context is captured once. */
export function captureContext (native: unknown): CapturedContext | null {
  if (typeof native !== 'object' || native === null) return null
  const found = captured.get(native)
  if (found !== undefined) return found
  const context = addon().captureContext(() => makeSocket({ context: native }))
  if (context !== null) captured.set(native, context)
  return context
}

/** Makes a server-side socket, by which the addon finds the context. No data ever passes. */
function makeSocket (secureContext: tls.SecureContext): tls.TLSSocket {
  // Without a stream under it: `tls.connect` makes its sockets so. A Duplex costs three times as much.
  const socket = new tls.TLSSocket(undefined as unknown as Socket, { isServer: true, secureContext })
  socket.on('error', () => {})
  // Frees its SSL after the addon has looked at it.
  setImmediate(() => socket.destroy())
  return socket
}
