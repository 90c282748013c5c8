import { EventEmitter } from 'node:events'
import { Attachment } from '../tls/attachment.js'
import { Clock } from '../util/clock.js'
import { ClosedError, SourceError } from '../util/errors.js'
import { KeyRefresher } from './key-refresher.js'
import { keyId } from '../keys/key.js'
import type { Logger } from '../util/log.js'
import { addon } from '../native/binding.js'
import type { NativeManager } from '../native/types.js'
import type { ResolvedOptions } from '../config/options.js'
import { KeyRing, ThreadRing, type KeyStatus } from './key-ring.js'
import { ThreadSource } from '../sources/other-thread.js'
import { ManagedServers } from './managed-servers.js'
import { readCounters, type TicketStats } from './stats.js'

/** How the keys are, for people and health checks. Times are ms since 1970. */
export interface TicketKeysStatus {
  source: string
  /** `false` where the option `optional` has left the tickets to Node.js */
  managed: boolean
  /** why, where `managed` is false */
  reason: string | null
  /** no key could issue now, or the keys of a list without times are older than they should be */
  stale: boolean
  /** why, where `stale` is true */
  staleReason: string | null
  /** id of the issuing key */
  current: string | null
  nextRotation: number | null
  keys: KeyStatus[]
  lastReload: number | null
  /** message of the last load that failed, until one succeeds */
  lastError: string | null
  /** its code; unlike the message, it may be shown to everybody */
  lastErrorCode: string | null
  /** false where the system did not lock the keys' memory against swapping */
  memoryLocked: boolean
  servers: number
}

/** Events of the manager and their arguments; none carries key material. */
export interface TicketKeysEvents {
  rotation: [{ current: string | null, previous: string | null }]
  reload: [{ result: 'success' | 'unchanged' }]
  'reload-error': [Error]
  stale: [{ reason: string }]
}

/** @internal For the log. */
export const NOT_LOCKED = 'ticket keys could not be locked in memory and may be swapped to disk: raise RLIMIT_MEMLOCK'

/** One source, one ring, any number of servers. Made by `createTicketKeys` or the Fastify plugin. */
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
  /** false where another thread's manager has the ring, and keeps it */
  readonly #ownsRing: boolean
  #closed = false
  #closing: Promise<void> | undefined

  /** @internal `createTicketKeys` makes managers. */
  constructor ({ policy, source, rotationInterval }: ResolvedOptions, clock: Clock, log: Logger, native?: NativeManager) {
    super()
    this.#clock = clock
    this.#log = log
    this.#policy = policy
    this.#ownsRing = !(source instanceof ThreadSource)
    this.#native = native ?? (source instanceof ThreadSource ? openManager(source.handle) : new (addon().Manager)(policy))
    this.#stopClockSync = this.#ownsRing ? clock.follow((offset) => this.#native.setClockOffset(offset)) : () => {}
    this.#ring = this.#ownsRing ? new KeyRing(this.#native) : new ThreadRing(this.#native)
    this.#refresher = new KeyRefresher(source, this.#ring, clock, log, rotationInterval * 2, {
      rotation: (event) => { this.emit('rotation', event) },
      reload: (event) => { this.emit('reload', event) },
      reloadError: (error) => { this.emit('reload-error', error) },
      stale: (event) => { this.emit('stale', event) }
    })
  }

  /** @internal Loads the first keys; rejects, with everything let go of, where there are none. */
  async start (): Promise<this> {
    try {
      await this.#refresher.start()
    } catch (error) {
      // What went wrong first is what matters.
      await this.close().catch(() => {})
      throw error
    }
    if (!this.#native.memoryLocked) this.#log.warn(NOT_LOCKED)
    if (this.#ownsRing) this.#native.onNoCurrentKey(() => this.#refresher.tick(true))
    return this
  }

  /** Names this manager in other threads of the process. */
  get handle (): number {
    return this.#native.handle
  }

  /**
   * Takes over the session tickets of an `https`, `http2` or `tls` server; for one that it has already, it does nothing. Throws
   * FST_TICKET_KEYS_NOT_TLS, FST_TICKET_KEYS_CLOSED.
   */
  attach (server: unknown): this {
    this.#checkOpen()
    const attachment = this.#servers.get(server)
    if (attachment === undefined) this.#servers.add(new Attachment(server, this.#native, this.#clock, this.#log))
    else attachment.reattach()
    return this
  }

  status (): TicketKeysStatus {
    const now = this.#clock.now()
    const current = this.#ring.current(now)
    const staleReason = this.#refresher.staleReason(now)
    return {
      source: this.#refresher.source.type,
      managed: true,
      reason: null,
      stale: staleReason !== null,
      staleReason,
      current: current === undefined ? null : keyId(current.name),
      nextRotation: this.#ring.nextRotation(now) ?? null,
      keys: this.#ring.status(now),
      lastReload: this.#refresher.history.lastReload,
      lastError: this.#refresher.history.lastError,
      lastErrorCode: this.#refresher.history.lastErrorCode,
      memoryLocked: this.#native.memoryLocked,
      servers: this.#servers.count
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

  /** @internal What the manager's timer does. */
  tick (): void {
    this.#refresher.tick()
  }

  /** ms for which the current key has been the issuing one here; `null` without one. */
  currentKeyAge (): number | null {
    return this.#refresher.rotations.currentKeyAge(this.#clock.now())
  }

  /** Makes the next key the issuing one, now. Rejects with FST_TICKET_KEYS_ROTATE where the source does not make its own keys. */
  async rotate (): Promise<void> {
    this.#checkOpen()
    await this.#refresher.rotate()
  }

  /** Loads the keys again, now. Rejects with what the source threw; the keys then stay as they were. */
  async reload (): Promise<'success' | 'unchanged'> {
    this.#checkOpen()
    return await this.#refresher.reload()
  }

  /** Every session that was authenticated until now is refused from here on, by this process: `session_revoked`. */
  async revokeSessions (): Promise<void> {
    this.#native.revokeSessions()
  }

  /**
   * Erases the keys and lets go of the servers, which from here on do full handshakes and issue no tickets. With the source `shared` the
   * keys
   * stay, and the owner's servers and other threads' go on.
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
    for (const listener of this.#onClose) listener()
    const attachments = this.#servers.removeAll()
    for (const attachment of attachments) attachment.detach()
    if (!this.#ownsRing) this.#leaveRing(attachments)
    this.#ring.clear()
    await this.#refresher.close()
  }

  /** Its servers' contexts go to a ring without keys. */
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
    // The addon has 32 bits for it.
    if (native.handle !== handle) throw new RangeError('not a handle')
  } catch (cause) {
    throw new SourceError(`no manager in this process has the handle ${handle}: it is in another process, or closed`, { cause })
  }
  if (native.keyTimes().length === 0) throw new SourceError(`the manager with the handle ${handle} has no keys: it is closed`)
  return native
}
