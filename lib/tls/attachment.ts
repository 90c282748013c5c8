import type { SecureContext, TLSSocket } from 'node:tls'
import { clientPolicies, hasSniCallback, toHost, type ClientPolicy } from './client-cert-policy.js'
import { addon } from '../native/binding.js'
import type { Clock } from '../util/clock.js'
import { NotTlsError } from '../util/errors.js'
import type { Logger } from '../util/log.js'
import type { CapturedContext, Host, NativeManager, NativeSessionData } from '../native/types.js'
import { recordFullHandshake, recordResumption } from './tls-session.js'
import { addAttachment, attachmentsOf, removeAttachment, type ServerAttachment } from './server-attachments.js'
import { isTlsServer, ownSessionIdContext, type TlsServerInternals } from './server-internals.js'

const SESSION_IDS = "the server has a listener for 'resumeSession': sessions that it resumes from its own store follow none of this " +
  "package's rules, and revokeSessions() does not end them"

/** The server's state when it was last attached. */
interface Attached {
  /** the server's own context; this reference keeps the SSL_CTX in `context` alive */
  own: SecureContext | undefined
  context: CapturedContext
  /** the number of contexts from `addContext`, and the last of them */
  count: number
  last: TlsServerInternals['_contexts'][number] | undefined
  /** whether the addon has the policies of these contexts, which it needs if client certificates are requested */
  hosts: boolean
}

/** A server under a manager. Sets the callbacks of its context, and listens for changes that would replace them. */
export class Attachment {
  readonly server: TlsServerInternals
  readonly #native: NativeManager
  readonly #clock: Clock
  readonly #log: Logger
  readonly #sessionData: NativeSessionData | null
  readonly #ticket = new Float64Array(3)
  readonly #restore: Array<() => void> = []
  // The constructor calls #attachTo, which sets #attached or throws.
  #attached!: Attached
  #detached = false
  readonly #shared: ServerAttachment = { follow: () => this.#followState(), takeBack: () => this.#attachTo(this.#native) }

  /** Throws FST_TICKET_KEYS_NOT_TLS, and does not change the server, if it has no TLS context. */
  constructor (server: unknown, native: NativeManager, clock: Clock, log: Logger, sessionData: NativeSessionData | null) {
    if (!isTlsServer(server)) throw new NotTlsError('the server has no TLS: give an https, http2 (secure) or tls server')
    this.server = server
    this.#native = native
    this.#clock = clock
    this.#log = log
    this.#sessionData = sessionData
    if (attachmentsOf(server).length > 0) {
      log.warn('the server has managed ticket keys already and now belongs to this manager: ' +
        'the earlier manager still counts its handshakes but no longer issues its tickets')
    }
    if (!this.#attachTo(native)) throw new NotTlsError("the server's TLS context was not found")
    if (server.ticketKeys !== undefined) log.warn('the option ticketKeys has no effect: this server has managed ticket keys')
    if (server.listenerCount('resumeSession') > 0) log.warn(SESSION_IDS)
    addAttachment(server, this.#shared)

    // Runs first: the application's listeners can then read the session.
    const done = (socket: TLSSocket): void => this.#handshakeDone(socket)
    server.prependListener('secureConnection', done)
    this.#restore.push(() => server.removeListener('secureConnection', done))
    // An open connection may send the name of the new host before the next connection arrives.
    this.#replace('addContext', true, () => this.#isNewest && native.hostsChanged(this.#attached.context))
    this.#replace('setTicketKeys', true, () => log.warn('setTicketKeys has no effect: this server has managed ticket keys'))
    // Node.js calls this method to set ticket keys when a cluster worker listens. It is not the application's mistake.
    this.#replace('_setServerData', false, () => {})
  }

  /**
   * Restores the server's own methods. Its context still uses this manager's ring, which is empty once the
   * manager is closed.
   */
  detach (): void {
    this.#detached = true
    for (const restore of this.#restore) restore()
    const wasNewest = this.#isNewest
    removeAttachment(this.server, this.#shared)
    // The previous manager issues the server's tickets again.
    if (wasNewest) attachmentsOf(this.server).at(-1)?.takeBack()
  }

  /** Calls `listener` at `detach`. */
  onDetach (listener: () => void): void {
    this.#restore.push(listener)
  }

  /** Returns the server to this manager after another manager has taken it over. */
  reattach (): void {
    if (this.#isNewest || !this.#attachTo(this.#native)) return
    addAttachment(this.server, this.#shared)
  }

  /**
   * After `detach`, attaches the context to another manager's ring for good. Does nothing if a manager has taken the
   * server over since.
   */
  transferTo (native: NativeManager): void {
    if (attachmentsOf(this.server).length === 0) this.#attachTo(native)
  }

  /**
   * Replaces a method of the server. The new method calls the original one if `callOriginal` is set, and then `then`.
   */
  #replace (method: 'addContext' | 'setTicketKeys' | '_setServerData', callOriginal: boolean, then: () => unknown): void {
    const { server } = this
    const original = Reflect.get(server, method) as (...args: unknown[]) => unknown
    // Defined if the application has replaced this method.
    const own = Object.getOwnPropertyDescriptor(server, method)
    const replacement = (...args: unknown[]): void => {
      if (callOriginal) original.apply(server, args)
      if (!this.#detached) then()
    }
    Object.defineProperty(server, method, { value: replacement, configurable: true, writable: true })
    this.#restore.push(() => {
      // If the application has replaced the method since, keep its replacement.
      if (Reflect.get(server, method) !== replacement) return
      if (own === undefined) Reflect.deleteProperty(server, method)
      else Object.defineProperty(server, method, own)
    })
  }

  get #isNewest (): boolean {
    return attachmentsOf(this.server).at(-1) === this.#shared
  }

  #followState (): void {
    const { own, count, last, hosts } = this.#attached
    const { _sharedCreds, _contexts: contexts, requestCert } = this.server
    const sameOwn = own === _sharedCreds
    if (sameOwn && contexts.length === count && contexts[count - 1] === last && (hosts || requestCert !== true)) return
    const onlyMore = sameOwn && (hosts || requestCert !== true) && contexts.length > count && contexts[count - 1] === last
    const found = onlyMore ? this.#attachMore() : this.#attachTo(this.#native)
    if (!found) {
      this.#log.error(
        'a new TLS context of the server was not found: ' +
        "sessions with client certificates, and those of a new context of the server's own, are not managed"
      )
    }
  }

  /**
   * Attaches the server's own context again, with its hosts.
   * Returns false, without changes, if a context was not found.
   */
  #attachTo (native: NativeManager): boolean {
    const { server } = this
    const [own] = clientPolicies(server, [server._sharedCreds?.context], server.ca === undefined ? 'default' : 'option') ?? []
    const hosts = readHosts(server, 0)
    if (own === undefined || hosts === null) return false
    const { noTicket } = native.attach(own.context, {
      policy: own.digest,
      sniCallback: hasSniCallback(server),
      sessionIdContext: Buffer.from(ownSessionIdContext(server)),
      sessionTimeout: server.sessionTimeout === undefined ? Infinity : server.sessionTimeout * 1000,
      sessionData: this.#sessionData
    })
    native.addHosts(own.context, hosts)
    this.#attached = stateOf(server, own.context)
    if (noTicket) {
      this.#log.warn('the server has SSL_OP_NO_TICKET: TLS 1.3 sessions stay in memory, TLS 1.2 has no tickets, and no managed key is used')
    }
    return true
  }

  /**
   * Attaches the contexts that were added since. Returns false if one was not found: no session with a client
   * certificate resumes then.
   */
  #attachMore (): boolean {
    const { server } = this
    const hosts = readHosts(server, this.#attached.count)
    const { context } = this.#attached
    this.#native.addHosts(context, hosts ?? [null])
    this.#attached = stateOf(server, context)
    return hosts !== null
  }

  #handshakeDone (socket: TLSSocket): void {
    const protocol = socket.getProtocol()
    if (protocol !== 'TLSv1.3' && protocol !== 'TLSv1.2') return
    const resumed = socket.isSessionReused()
    const serverName = this.#native.handshakeDone(protocol === 'TLSv1.3', resumed, this.#ticket)
    // If another manager has taken the server over, that manager records the session.
    if (!this.#isNewest) return
    const readData = addon().keptData()
    if (resumed) recordResumption(socket, serverName === null ? null : { numbers: this.#ticket, serverName, readData })
    else recordFullHandshake(socket, this.#clock.now(), readData)
  }
}

function stateOf ({ _sharedCreds, _contexts, requestCert }: TlsServerInternals, context: CapturedContext): Attached {
  return { own: _sharedCreds, context, count: _contexts.length, last: _contexts.at(-1), hosts: requestCert === true }
}

/** The `addContext` hosts from index `first` on, as the addon takes them. `null` if a context was not found. */
function readHosts (server: TlsServerInternals, first: number): Array<Host | null> | null {
  const added = server._contexts.slice(first)
  // If the server has an SNICallback, Node.js does not use the contexts of addContext.
  if (added.length === 0 || hasSniCallback(server)) return []
  // Without client certificates, the policies are not needed.
  if (server.requestCert !== true) return [null]
  const policies = clientPolicies(server, added.map(([, context]) => context))
  return policies === null ? null : added.map(([matcher], i) => toHost(matcher, policies[i] as ClientPolicy))
}
