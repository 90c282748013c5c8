import type { SecureContext, TLSSocket } from 'node:tls'
import { clientPolicies, hasSniCallback, toHost, type ClientPolicy } from './client-cert-policy.js'
import type { Clock } from '../util/clock.js'
import { NotTlsError } from '../util/errors.js'
import type { Log } from '../util/log.js'
import type { CapturedContext, Host, NativeManager } from '../native/types.js'
import { noteFullHandshake, noteResumption } from './tls-session.js'
import { isTlsServer, type TlsServerInternals } from './server-internals.js'

/** The attachments of a server, oldest first. Its context belongs to the newest. */
const attachments = new WeakMap<object, Attachment[]>()

function attachmentsOf (server: object): Attachment[] {
  return attachments.get(server) ?? []
}

/** What of a server's state is attached. */
interface Attached {
  /** the server's own context; held here, because `context` does not hold it */
  own: SecureContext | undefined
  context: CapturedContext
  /** how many contexts of `addContext` the server had, and the last of them */
  count: number
  last: TlsServerInternals['_contexts'][number] | undefined
  /** whether the addon knows their policies, which it needs where certificates are requested */
  hosts: boolean
}

/** One server under a manager: the callbacks of its context, and the listeners that keep them there. */
export class Attachment {
  readonly server: TlsServerInternals
  readonly #native: NativeManager
  readonly #clock: Clock
  readonly #log: Log
  readonly #ticket = new Float64Array(3)
  readonly #restore: Array<() => void> = []
  // The constructor calls #attachTo, which sets it, or throws.
  #attached!: Attached
  #detached = false

  /** Throws FST_TICKET_KEYS_NOT_TLS where there is no TLS context, leaving the server as it was. */
  constructor (server: unknown, native: NativeManager, clock: Clock, log: Log) {
    if (!isTlsServer(server)) throw new NotTlsError('the server has no TLS: give an https, http2 (secure) or tls server')
    this.server = server
    this.#native = native
    this.#clock = clock
    this.#log = log
    if (attachmentsOf(server).length > 0) {
      log.warn('the server has managed ticket keys already and now belongs to this manager: ' +
        'the earlier manager still counts its handshakes but no longer issues its tickets')
    }
    if (!this.#attachTo(native)) throw new NotTlsError("the server's TLS context was not found")
    if (server.ticketKeys !== undefined) log.warn('the option ticketKeys has no effect: this server has managed ticket keys')
    attachments.set(server, [...attachmentsOf(server), this])

    // First, because the listener of Node.js makes the connection's SSL, from the server's state at that moment.
    this.#listen('connection', () => this.#followState())
    // First, so that listeners of the application find the session noted.
    this.#listen('secureConnection', (socket: TLSSocket) => this.#handshakeDone(socket))
    // A connection that is open already may send the name of the new host before the next connection comes.
    this.#replace('addContext', true, () => this.#isNewest && native.hostsChanged(this.#attached.context))
    this.#replace('setTicketKeys', true, () => log.warn('setTicketKeys has no effect: this server has managed ticket keys'))
    // Node.js calls it to set ticket keys when a cluster worker listens. That is nobody's mistake.
    this.#replace('_setServerData', false, () => {})
  }

  /** Gives the server its own methods back. Its context stays with the manager's ring, which is empty when that is closed. */
  detach (): void {
    this.#detached = true
    for (const restore of this.#restore) restore()
    const wasNewest = this.#isNewest
    const others = attachmentsOf(this.server).filter((other) => other !== this)
    attachments.set(this.server, others)
    // The manager that had the server before issues its tickets again.
    const next = others.at(-1)
    if (wasNewest && next !== undefined) next.#attachTo(next.#native)
  }

  /** Gives the server to this manager again, where another manager has taken it over since. */
  takeBack (): void {
    if (this.#isNewest || !this.#attachTo(this.#native)) return
    attachments.set(this.server, [...attachmentsOf(this.server).filter((other) => other !== this), this])
  }

  /** Once detached, gives the context to another manager's ring, for good; unless one has taken it over since. */
  moveTo (native: NativeManager): void {
    if (attachmentsOf(this.server).length === 0) this.#attachTo(native)
  }

  #listen (event: 'connection' | 'secureConnection', listener: (socket: TLSSocket) => void): void {
    this.server.prependListener(event, listener)
    this.#restore.push(() => this.server.removeListener(event, listener))
  }

  /** Puts a method on the server that does `then` and, if `callOriginal`, what the method did before. */
  #replace (method: 'addContext' | 'setTicketKeys' | '_setServerData', callOriginal: boolean, then: () => unknown): void {
    const { server } = this
    const original = Reflect.get(server, method) as (...args: unknown[]) => unknown
    // There if somebody has put an own method there before.
    const own = Object.getOwnPropertyDescriptor(server, method)
    const replacement = (...args: unknown[]): void => {
      if (callOriginal) original.apply(server, args)
      if (!this.#detached) then()
    }
    Object.defineProperty(server, method, { value: replacement, configurable: true, writable: true })
    this.#restore.push(() => {
      // Somebody may have put another one there since. It then stays.
      if (Reflect.get(server, method) !== replacement) return
      if (own === undefined) Reflect.deleteProperty(server, method)
      else Object.defineProperty(server, method, own)
    })
  }

  get #isNewest (): boolean {
    return attachmentsOf(this.server).at(-1) === this
  }

  /** Attaches what was changed since the last connection, by whatever call. */
  #followState (): void {
    if (!this.#isNewest) return
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

  /** Attaches the server's own context anew, with its hosts. False, changing nothing, where a context was not found. */
  #attachTo (native: NativeManager): boolean {
    const { server } = this
    const [own] = clientPolicies(server, [server._sharedCreds?.context]) ?? []
    const hosts = readHosts(server, 0)
    if (own === undefined || hosts === null) return false
    const { noTicket } = native.attach(own.context, own.digest, hasSniCallback(server))
    native.addHosts(own.context, hosts)
    this.#attached = stateOf(server, own.context)
    if (noTicket) {
      this.#log.warn('the server has SSL_OP_NO_TICKET: TLS 1.3 sessions stay in memory, TLS 1.2 has no tickets, and no managed key is used')
    }
    return true
  }

  /** Attaches the contexts that were added since. False where one was not found: then no session with a client certificate resumes. */
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
    const byTicket = this.#native.handshakeDone(protocol === 'TLSv1.3', resumed, this.#ticket)
    // The manager that has taken the server over knows what the ticket said.
    if (!this.#isNewest) return
    if (resumed) noteResumption(socket, byTicket ? this.#ticket : null)
    else noteFullHandshake(socket, this.#clock.now())
  }
}

function stateOf ({ _sharedCreds, _contexts, requestCert }: TlsServerInternals, context: CapturedContext): Attached {
  return { own: _sharedCreds, context, count: _contexts.length, last: _contexts.at(-1), hosts: requestCert === true }
}

/** The hosts of `addContext` from the one at `first` on, as the addon takes them; `null` where a context was not found. */
function readHosts (server: TlsServerInternals, first: number): Array<Host | null> | null {
  const added = server._contexts.slice(first)
  // An SNICallback takes the place of addContext.
  if (added.length === 0 || hasSniCallback(server)) return []
  // Without client certificates, to look into each context would be work for nothing.
  if (server.requestCert !== true) return [null]
  const policies = clientPolicies(server, added.map(([, context]) => context))
  return policies === null ? null : added.map(([matcher], i) => toHost(matcher, policies[i] as ClientPolicy))
}
