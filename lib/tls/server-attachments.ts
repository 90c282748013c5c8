import type { TlsServerInternals } from './server-internals.js'

/** An attachment, as other copies of this package see it. */
export interface ServerAttachment {
  /** attaches the contexts of the server that have changed since the last call */
  follow: () => void
  /** attaches the server again, after a newer attachment has ended */
  takeBack: () => void
}

/** Property of a server. Every copy of this package in the thread finds it: ESM, CommonJS, another node_modules. */
const ATTACHMENTS = Symbol.for('fastify-ticket-keys.attachments.1')

type Holder = { [ATTACHMENTS]?: readonly ServerAttachment[] }

/** The attachments of a server, oldest first. The newest attachment manages the server's context. */
export function attachmentsOf (server: object): readonly ServerAttachment[] {
  return (server as Holder)[ATTACHMENTS] ?? []
}

/** Makes this the newest attachment of the server. */
export function addAttachment (server: TlsServerInternals, attachment: ServerAttachment): void {
  const others = attachmentsOf(server)
  setAttachments(server, [...others.filter((other) => other !== attachment), attachment])
  if (others.length === 0) watchContext(server)
}

/** Removes an attachment of the server. */
export function removeAttachment (server: TlsServerInternals, attachment: ServerAttachment): void {
  setAttachments(server, attachmentsOf(server).filter((other) => other !== attachment))
  if (attachmentsOf(server).length === 0) unwatchContext(server)
}

function setAttachments (server: object, value: readonly ServerAttachment[]): void {
  Object.defineProperty(server, ATTACHMENTS, { value, configurable: true })
}

/**
 * Makes the newest attachment look for new contexts whenever the server's own context is read. Node.js reads the context
 * to make each connection's SSL, so no listener of the application can come in between.
 */
function watchContext (server: TlsServerInternals): void {
  let context = server._sharedCreds
  let following = false
  Object.defineProperty(server, '_sharedCreds', {
    configurable: true,
    enumerable: true,
    get () {
      if (following) return context
      following = true
      try {
        attachmentsOf(server).at(-1)?.follow()
      } finally {
        following = false
      }
      return context
    },
    set (value: typeof context) { context = value }
  })
}

function unwatchContext (server: TlsServerInternals): void {
  Object.defineProperty(server, '_sharedCreds', { value: server._sharedCreds, configurable: true, enumerable: true, writable: true })
}
