import { EventEmitter } from 'node:events'
import { Attachment } from '../tls/attachment.js'
import { sessionDataForAddon } from '../tls/session-data.js'
import { Clock } from '../util/clock.js'
import { ClosedError, SourceError } from '../util/errors.js'
import { KeyRefresher } from './key-refresher.js'
import type { Logger } from '../util/log.js'
import { addon } from '../native/binding.js'
import type { NativeManager, NativeSessionData } from '../native/types.js'
import type { ResolvedOptions } from '../config/options.js'
import { KeyRing, ThreadRing } from './key-ring.js'
import { ringStatus } from './ring-status.js'
import { ThreadSource } from '../sources/other-thread.js'
import { ManagedServers } from './managed-servers.js'
import { checkRevocation, type RevocationConditions } from './revocation-conditions.js'
import type { TicketKeysEvents, TicketKeysStatus } from './status.js'
import { readCounters, type TicketStats } from './stats.js'

export type { TicketKeysEvents, TicketKeysStatus } from './status.js'

/** @internal A log message. */
export const NOT_LOCKED = 'ticket keys could not be locked in memory and may be swapped to disk: raise RLIMIT_MEMLOCK'

/**
 * A manager has one source, one key ring and any number of servers. `createTicketKeys` and the Fastify plugin make it.
 */
export class TicketKeys extends EventEmitter<TicketKeysEvents> {
  readonly #clock: Clock
  readonly #log: Logger
  readonly #native: NativeManager
  readonly #ring: KeyRing
  readonly #refresher: KeyRefresher
  readonly #servers = new ManagedServers()
  readonly #onClose: Array<() => void> = []
  readonly #stopClockSync: () => void
  readonly #policy: ResolvedOptions['policy']
  readonly #sessionData: NativeSessionData | null
  /** false if the ring belongs to a manager in another thread */
  readonly #ownsRing: boolean
  #closed = false
  #closing: Promise<void> | undefined

  /** @internal `createTicketKeys` makes managers. */
  constructor ({ policy, source, rotationInterval, sessionData }: ResolvedOptions, clock: Clock, log: Logger, native?: NativeManager) {
    super()
    this.#clock = clock
    this.#log = log
    this.#policy = policy
    this.#sessionData = sessionData === null ? null : sessionDataForAddon(sessionData, clock, log)
    this.#ownsRing = !(source instanceof ThreadSource)
    this.#native = native ?? (source instanceof ThreadSource ? openManager(source.handle) : new (addon().Manager)(policy))
    this.#stopClockSync = this.#ownsRing ? clock.follow((offset) => this.#native.setClockOffset(offset)) : () => {}
    this.#ring = this.#ownsRing ? new KeyRing(this.#native) : new ThreadRing(this.#native)
    this.#refresher = new KeyRefresher(source, this.#ring, clock, log, rotationInterval, {
      rotation: (event) => { this.emit('rotation', event) },
      reload: (event) => { this.emit('reload', event) },
      reloadError: (error) => { this.emit('reload-error', error) },
      stale: (event) => { this.emit('stale', event) }
    })
  }

  /** @internal Loads the first keys. If that fails, closes the manager and rejects. */
  async start (): Promise<this> {
    try {
      await this.#refresher.start()
    } catch (error) {
      // Report the first error, even if close() also fails.
      await this.close().catch(() => {})
      throw error
    }
    if (!this.#native.memoryLocked) this.#log.warn(NOT_LOCKED)
    if (this.#ownsRing) this.#native.onNoCurrentKey(() => this.#refresher.tick(true))
    return this
  }

  /** Identifies this manager in other threads of the process, for the source `shared`. */
  get handle (): number {
    return this.#native.handle
  }

  /**
   * Manages the session tickets of an `https`, `http2` or `tls` server. Has no effect if this manager already manages
   * the server. If another manager has taken the server over, this manager takes it back.
   *
   * @throws FST_TICKET_KEYS_NOT_TLS, FST_TICKET_KEYS_CLOSED
   */
  attach (server: unknown): this {
    this.#checkOpen()
    const attachment = this.#servers.get(server)
    if (attachment === undefined) this.#servers.add(new Attachment(server, this.#native, this.#clock, this.#log, this.#sessionData))
    else attachment.reattach()
    return this
  }

  status (): TicketKeysStatus {
    const now = this.#clock.now()
    const staleReason = this.#refresher.health.staleReason(now)
    return {
      source: this.#refresher.source.type,
      managed: true,
      reason: null,
      stale: staleReason !== null,
      staleReason,
      ...ringStatus(this.#ring, this.#refresher, now),
      lastReload: this.#refresher.history.lastReload,
      lastError: this.#refresher.history.lastError,
      lastErrorCode: this.#refresher.history.lastErrorCode,
      memoryLocked: this.#native.memoryLocked,
      servers: this.#servers.count,
      revocations: this.#native.revocations
    }
  }

  stats (): TicketStats {
    return {
      ...readCounters((out) => this.#native.readCounters(out)),
      rotations: this.#refresher.rotations.countAt(this.#clock.now()),
      reloads: { ...this.#refresher.history.reloads }
    }
  }

  /** @internal Calls `listener` when the manager closes. */
  onClose (listener: () => void): void {
    this.#onClose.push(listener)
  }

  /** @internal Does the work of the manager's timer now. */
  tick (): void {
    this.#refresher.tick()
  }

  /** @internal For how long each key issues, ms. */
  get rotationInterval (): number {
    return this.#refresher.health.rotationInterval
  }

  /** Returns for how many ms the current key has issued in this manager; `null` without a current key. */
  currentKeyAge (): number | null {
    return this.#refresher.rotations.currentKeyAge(this.#clock.now())
  }

  /**
   * Makes the next key the current key at once. Resolves with the time from which the key issues. `revoke`: the keys are
   * known to others. Drops every key that was made so far, so that its tickets do not resume, and makes new ones.
   * Rejects with FST_TICKET_KEYS_ROTATE if the source does not make its own keys.
   */
  async rotate ({ revoke = false }: { revoke?: boolean } = {}): Promise<{ at: number }> {
    this.#checkOpen()
    return { at: await this.#refresher.rotate(revoke) }
  }

  /** Loads the keys again at once. If the source fails, rejects with its error and keeps the previous keys. */
  async reload (): Promise<'success' | 'unchanged'> {
    this.#checkOpen()
    return await this.#refresher.reload()
  }

  /**
   * From now on, all servers and threads of this manager refuse the sessions that meet all conditions (`session_revoked`).
   * Without conditions, they refuse every session. Resolves with the time up to which the refused sessions were
   * authenticated. Rejects with FST_TICKET_KEYS_OPTIONS, FST_TICKET_KEYS_CLOSED.
   */
  async revokeSessions (conditions: RevocationConditions = {}): Promise<{ until: number }> {
    this.#checkOpen()
    const { until, widened } = this.#native.revokeSessions(checkRevocation(conditions, this.#clock.now()))
    const names = Object.keys(conditions).join(', ')
    if (widened) this.#log.warn('there are too many revocations: every session authenticated until now is revoked instead', { until })
    this.#log.info(`sessions authenticated up to ${new Date(until).toISOString()} are revoked (conditions: ${names || 'none'})`, { until })
    this.emit('revocation', { until, conditions })
    return { until }
  }

  /** Returns up to which time of authentication every session is refused, ms since 1970; `null` if none is. */
  revokedUntil (): number | null {
    const { revokedUntil } = this.#native
    return revokedUntil < 0 ? null : revokedUntil
  }

  /**
   * Erases the keys and detaches the servers. From then on, the servers do full handshakes and issue no tickets. With
   * the source `shared`, the manager that owns the keys keeps them, and the servers of other managers continue.
   */
  async close (): Promise<void> {
    if (!this.#closed) {
      this.#closed = true
      this.#closing = this.#shutDown()
    }
    await this.#closing
  }

  async #shutDown (): Promise<void> {
    this.#stopClockSync()
    this.#native.onNoCurrentKey(null)
    const attachments = this.#servers.removeAll()
    for (const attachment of attachments) attachment.detach()
    if (!this.#ownsRing) this.#leaveRing(attachments)
    this.#ring.clear()
    for (const listener of this.#onClose) listener()
    await this.#refresher.close()
  }

  /** Moves the contexts of the servers to a ring without keys. */
  #leaveRing (attachments: Attachment[]): void {
    const emptyManager = new (addon().Manager)(this.#policy)
    for (const attachment of attachments) attachment.transferTo(emptyManager)
  }

  #checkOpen (): void {
    if (this.#closed) throw new ClosedError('the manager is closed')
  }
}

function openManager (handle: number): NativeManager {
  let native: NativeManager
  try {
    native = new (addon().Manager)(handle)
    // The addon reads only 32 bits of the number, which may be another manager's handle.
    if (native.handle !== handle) throw new RangeError('not a handle')
  } catch (cause) {
    throw new SourceError(`no manager in this process has the handle ${handle}: it is in another process, or closed`, { cause })
  }
  if (native.keyTimes().length === 0) throw new SourceError(`the manager with the handle ${handle} has no keys: it is closed`)
  return native
}
