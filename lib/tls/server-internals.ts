import { Duplex } from 'node:stream'
import tls from 'node:tls'
import type { SocketMaker } from '../native/types.js'

/** What tls.Server has beside its documented members, the same in every supported Node.js. */
export interface TlsServerInternals extends tls.Server {
  _sharedCreds?: tls.SecureContext
  /** what addContext was given: pattern, native context */
  _contexts: Array<[RegExp, unknown]>
  ticketKeys?: Buffer
}

/** Whether this is a server whose tickets can be managed: `https`, `http2` with TLS, `tls`. */
export function isTlsServer (server: unknown): server is TlsServerInternals {
  return server instanceof tls.Server && (server as TlsServerInternals)._sharedCreds !== undefined
}

/** Makes a server-side socket on a context, for the addon to find the context by: no data ever passes. */
export function socketMaker (secureContext: tls.SecureContext): SocketMaker {
  return () => {
    const nowhere = new Duplex({ read () {} })
    const socket = new tls.TLSSocket(nowhere, { isServer: true, secureContext })
    socket.on('error', () => {})
    // Frees its SSL after the addon has looked at it.
    setImmediate(() => socket.destroy())
    return socket
  }
}
