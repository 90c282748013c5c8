import type { SecureContext, Server, TLSSocket } from 'node:tls'
import { clientPolicy } from './client-cert-policy.js'
import type { Clock } from '../util/clock.js'
import { NotTlsError } from '../util/errors.js'
import type { Log } from '../util/log.js'
import type { NativeManager } from '../native/types.js'
import { noteFullHandshake, noteResumption } from './tls-session.js'
import { isTlsServer, socketMaker, type TlsServerInternals } from './server-internals.js'

type Patched = 'setSecureContext' | 'addContext' | 'setTicketKeys'

/** Which attachment a server's context listens to: the newest. */
const newest = new WeakMap<object, Attachment>()

/** One server under a manager: its context's callbacks, and what keeps them there. */
export class Attachment {
  readonly server: TlsServerInternals
  readonly #native: NativeManager
  readonly #clock: Clock
  readonly #log: Log
  readonly #ticket = new Float64Array(3)
  readonly #restore: Array<() => void> = []
  /** the server's own context, and the native ones of `addContext` that the addon knows with it */
  #own: SecureContext | undefined
  #detached = false
  readonly #added = new Set<unknown>()

  /** Throws FST_TICKET_KEYS_NOT_TLS where there is no TLS context, leaving the server as it was. */
  constructor (server: unknown, native: NativeManager, clock: Clock, log: Log) {
    if (!isTlsServer(server)) throw new NotTlsError('the server has no TLS: give an https, http2 (secure) or tls server')
    this.server = server
    this.#native = native
    this.#clock = clock
    this.#log = log
    if (newest.has(server)) log.warn('the server has managed ticket keys already: the other manager counts its handshakes, but has its tickets no more')
    this.#takeOver(true)
    newest.set(server, this)

    const onSecure = (socket: TLSSocket): void => this.#handshakeDone(socket)
    // First, so that listeners of the application find the session noted.
    server.prependListener('secureConnection', onSecure)
    this.#restore.push(() => server.removeListener('secureConnection', onSecure))
    // setSecureContext makes a new SSL_CTX, and everything set on the old one is gone with it.
    this.#after('setSecureContext', () => this.#takeOver(false))
    this.#after('addContext', () => this.#takeOver(false))
    this.#after('setTicketKeys', () => this.#log.warn('setTicketKeys has no effect: this server has managed ticket keys'))
    // Node.js calls setTicketKeys by this when a cluster worker listens: nobody's mistake.
    const ignore = (): void => {}
    Object.defineProperty(server, '_setServerData', { value: ignore, configurable: true, writable: true })
    // It is another manager's by now, if one has taken the server over.
    this.#restore.push(() => Reflect.get(server, '_setServerData') === ignore && Reflect.deleteProperty(server, '_setServerData'))
  }

  /** Gives the server its own methods back. Its context stays with the manager's ring, which is empty when that is closed. */
  detach (): void {
    this.#detached = true
    for (const restore of this.#restore) restore()
    if (newest.get(this.server) === this) newest.delete(this.server)
  }

  /** Once detached, gives the context to another manager's ring, for good; unless one has taken it over since. */
  moveTo (native: NativeManager): void {
    if (!newest.has(this.server)) this.#attachTo(native)
  }

  #after (method: Patched, then: () => void): void {
    const { server } = this
    const original = server[method] as (...args: unknown[]) => unknown
    // There if somebody has wrapped the method before us.
    const own = Object.getOwnPropertyDescriptor(server, method)
    // Whoever has wrapped ours since goes on calling it when we are gone.
    const afterwards = (): void => { if (!this.#detached) then() }
    const patched = function (this: Server, ...args: unknown[]): unknown {
      const result = original.apply(this, args)
      afterwards()
      return result
    }
    Object.defineProperty(server, method, { value: patched, configurable: true, writable: true })
    this.#restore.push(() => {
      // Somebody may have wrapped ours since: then it stays.
      if (server[method] as unknown !== patched) return
      if (own === undefined) Reflect.deleteProperty(server, method)
      else Object.defineProperty(server, method, own)
    })
  }

  #takeOver (first: boolean): void {
    const { server } = this
    const found = this.#attachTo(this.#native)
    if (found === null) throw new NotTlsError("the server's TLS context was not found")
    if (found.noTicket) this.#log.warn('the server has SSL_OP_NO_TICKET: TLS 1.3 sessions stay in memory, TLS 1.2 has no tickets, and no managed key is used')
    if (first && server.ticketKeys !== undefined) this.#log.warn('the option ticketKeys has no effect: this server has managed ticket keys')
  }

  #attachTo (native: NativeManager): ReturnType<NativeManager['attach']> {
    const { server } = this
    const own = server._sharedCreds as SecureContext
    if (this.#own !== own) this.#added.clear()
    this.#own = own
    const added = server._contexts.map(([, context]) => context).filter((context) => !this.#added.has(context))
    const policy = clientPolicy(server)
    if (policy === null) return null
    const makers = added.map((context) => socketMaker({ context } as SecureContext))
    const found = native.attach(socketMaker(own), policy.digest, makers, policy.byName)
    if (found !== null) for (const context of added) this.#added.add(context)
    return found
  }

  #handshakeDone (socket: TLSSocket): void {
    const protocol = socket.getProtocol()
    if (protocol !== 'TLSv1.3' && protocol !== 'TLSv1.2') return
    const resumed = socket.isSessionReused()
    const byTicket = this.#native.handshakeDone(protocol === 'TLSv1.3', resumed, this.#ticket)
    // The manager that has taken the server over knows what the ticket said.
    if ((newest.get(this.server) ?? this) !== this) return
    if (resumed) noteResumption(socket, byTicket ? this.#ticket : null)
    else noteFullHandshake(socket, this.#clock.now())
  }
}
