import type { Clock } from '../util/clock.js'
import { ClosedError, RotateError, SourceError } from '../util/errors.js'
import type { Log } from '../util/log.js'
import type { KeyRing } from './key-ring.js'
import { RotationTracker, type Rotation } from './rotation-tracker.js'
import { assertSourceKeys, eraseSourceKeys, errorOf } from '../sources/assert-keys.js'
import type { KeySource, SourceKeys } from '../sources/key-source.js'
import type { ReloadResult } from './stats.js'
import { Mutex } from '../util/mutex.js'

/** A source of somebody else's may return a thenable of another library. */
function isPromise (result: SourceKeys | null | Promise<SourceKeys | null>): result is Promise<SourceKeys | null> {
  return 'then' in Object(result)
}

/** The clock may be set at any time, and nothing says so: it is looked at this often at least, ms. */
const MAX_TIMER_MS = 10_000
const FIRST_RETRY_MS = 1000
const MAX_RETRY_MS = 60_000
/** For a source that wants to be asked again at a moment that has passed, ms. */
const MIN_REFRESH_DELAY_MS = 100

/** What a refresher reports. A listener may close the refresher. */
export interface KeyRefresherEvents {
  /** the ring has new keys, whose bytes are erased by now */
  keys? (keys: SourceKeys): void
  rotation? (event: Rotation): void
  reload? (event: { result: 'success' | 'unchanged' }): void
  reloadError? (error: Error): void
  stale? (event: { reason: string }): void
}

/** Keeps the ring as the source says and the clock demands: loads, drops what has expired, notices when no key may issue. */
export class KeyRefresher {
  readonly source: KeySource
  readonly reloads: Record<ReloadResult, number> = { success: 0, unchanged: 0, error: 0 }
  readonly rotations: RotationTracker
  /** ms since 1970 of the last load that gave keys or said that they are as they were */
  lastReload: number | null = null
  lastError: string | null = null
  lastErrorCode: string | null = null
  readonly #ring: KeyRing
  readonly #clock: Clock
  readonly #log: Log
  readonly #events: KeyRefresherEvents
  readonly #listAge: number
  #loadedAt = 0
  #timed = true
  #wasStale = false
  #refreshAt = Infinity
  #retryAfter = FIRST_RETRY_MS
  readonly #mutex = new Mutex()
  #loadWaits = false
  #timer: NodeJS.Timeout | undefined
  #closed = false

  /** @param listAge ms after which a list without times, unchanged, is stale */
  constructor (source: KeySource, ring: KeyRing, clock: Clock, log: Log, listAge: number, events: KeyRefresherEvents = {}) {
    this.source = source
    this.#ring = ring
    this.#clock = clock
    this.#log = log
    this.#listAge = listAge
    this.#events = events
    this.rotations = new RotationTracker(ring, clock, (rotation) => {
      log.info(`ticket key ${rotation.current} issues from now on`)
      events.rotation?.(rotation)
    })
  }

  /** Loads the first keys. Rejects where there are none. */
  async start (): Promise<void> {
    const now = this.#clock.now()
    const loading = this.source.load(now)
    // Keys that are there at once take effect at once.
    const keys = isPromise(loading) ? await loading : loading
    if (this.#closed) {
      eraseSourceKeys(keys)
      throw new ClosedError('the manager is closed')
    }
    this.#loadedAt = now
    if (keys !== null) this.#apply(keys, this.#clock.now())
    else if (this.#ring.keys.length === 0) throw new SourceError(`${this.#where} gave no keys, and there are none before`)
    this.lastReload = now
    this.#refreshAt = Math.min(this.#refreshAt, now + this.#pollInterval)
    this.rotations.start(now)
    await this.source.watch?.(() => this.#loadQuietly())
    this.#schedule(this.#clock.now())
  }

  /** Looks at the clock: counts rotations, erases expired keys, asks the source for more. */
  tick (loadNow = false): void {
    try {
      const { now, back } = this.rotations.observe()
      if (this.#closed) return
      this.#ring.dropExpired(now)
      if ((loadNow || back || now >= this.#refreshAt) && !this.#mutex.busy) this.#refresh(now)
      if (!this.#closed) this.#noticeStale(now)
    } finally {
      // Whoever was told of something may have closed this; and what a listener throws must not stop the clock.
      if (!this.#closed) this.#schedule(this.#clock.now())
    }
  }

  /** Loads again and counts it. Rejects with what the source threw. */
  async reload (): Promise<'success' | 'unchanged'> {
    return await this.#mutex.runExclusive(async () => {
      if (this.#closed) throw new ClosedError('the manager is closed')
      return await this.#load(true)
    })
  }

  async rotate (): Promise<void> {
    const { source } = this
    if (source.rotate === undefined) {
      throw new RotateError(`the source '${source.type}' does not make its own keys: rotate them where they come from`)
    }
    await this.#mutex.runExclusive(async () => {
      this.tick()
      // While it waited for its turn, or by somebody who was told of something.
      if (this.#closed) throw new ClosedError('the manager is closed')
      await source.rotate?.(this.#clock.now())
      await this.#load(false)
    })
  }

  /** Why the keys are not as they should be; `null` if they are. */
  staleReason (now: number): string | null {
    if (this.#ring.current(now) === undefined) return 'no key may issue tickets now: full handshakes only, no new tickets'
    if (!this.#timed && now - this.#loadedAt > this.#listAge) {
      return 'the list of keys has not changed for twice rotationInterval; its key goes on issuing'
    }
    return null
  }

  async close (): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    await this.source.close?.()
  }

  get #where (): string {
    return `source '${this.source.type}'`
  }

  get #pollInterval (): number {
    return this.source.pollInterval ?? Infinity
  }

  #refresh (now: number): void {
    // That moment has come; the source names the next one, if there is one.
    if (now >= this.#refreshAt) this.#refreshAt = Infinity
    let result: SourceKeys | null | Promise<SourceKeys | null>
    try {
      // A source that answers at once is answered at once: the next handshake finds the key.
      result = this.source.load(now)
    } catch (thrown) {
      this.#failed(thrown)
      return
    }
    if (isPromise(result)) {
      const loading = result
      this.#mutex.runExclusive(() => this.#finish(loading, false)).catch(() => {})
    } else {
      this.#finishNow(result, false)
    }
  }

  /** For a source that has seen something change; like a poll, it is worth counting only if there was something. */
  #loadQuietly (): void {
    // A load that waits for its turn will see this change too.
    if (this.#loadWaits || this.#closed) return
    this.#loadWaits = true
    this.#mutex.runExclusive(async () => {
      this.#loadWaits = false
      if (!this.#closed) await this.#load(false)
    }).catch(() => {})
  }

  async #load (counted: boolean): Promise<'success' | 'unchanged'> {
    return await this.#finish((async () => await this.source.load(this.#clock.now()))(), counted)
  }

  async #finish (loading: Promise<SourceKeys | null>, counted: boolean): Promise<'success' | 'unchanged'> {
    let keys: SourceKeys | null
    try {
      keys = await loading
    } catch (thrown) {
      throw this.#failed(thrown)
    }
    const error = this.#finishNow(keys, counted)
    if (error !== null) throw error
    return keys === null ? 'unchanged' : 'success'
  }

  #finishNow (keys: SourceKeys | null, counted: boolean): Error | null {
    const { now } = this.rotations.observe()
    if (this.#closed) {
      // While they were on their way.
      eraseSourceKeys(keys)
      return null
    }
    try {
      if (keys !== null) this.#apply(keys, now)
    } catch (thrown) {
      return this.#failed(thrown)
    }
    const result = keys === null ? 'unchanged' : 'success'
    const recovered = this.lastError !== null
    if (recovered) this.#log.info(`${this.#where}: the keys can be loaded again`)
    this.lastReload = this.#clock.now()
    this.lastError = null
    this.lastErrorCode = null
    this.#retryAfter = FIRST_RETRY_MS
    this.#refreshAt = Math.min(this.#refreshAt, this.lastReload + this.#pollInterval)
    // A poll that finds what it found before is not worth counting, nor is a source's own rotation.
    if (counted || recovered || (result === 'success' && this.source.makesKeys !== true)) {
      this.reloads[result]++
      this.#events.reload?.({ result })
    }
    this.tick()
    return null
  }

  #apply (keys: SourceKeys, now: number): void {
    assertSourceKeys(keys, this.#where)
    this.#ring.replace(keys, now, this.#where)
    this.#loadedAt = now
    this.#events.keys?.(keys)
    this.#timed = keys.timed
    const { refreshAt = Infinity } = keys
    this.#refreshAt = refreshAt > now ? refreshAt : now + MIN_REFRESH_DELAY_MS
    for (const warning of keys.warnings ?? []) this.#log.warn(warning)
  }

  #failed (thrown: unknown): Error {
    const error = errorOf(thrown, this.#where)
    if (this.#closed) return error
    // Every try is counted; what went wrong is said once.
    if (this.lastError !== error.message) this.#log.error(`${error.message}; the last good keys stay`)
    this.lastError = error.message
    this.lastErrorCode = String((error as NodeJS.ErrnoException).code ?? 'FST_TICKET_KEYS_SOURCE')
    this.reloads.error++
    const now = this.#clock.now()
    this.#refreshAt = now + Math.min(this.#retryAfter, this.#pollInterval)
    this.#retryAfter = Math.min(this.#retryAfter * 2, MAX_RETRY_MS)
    this.#schedule(now)
    this.#events.reloadError?.(error)
    return error
  }

  #noticeStale (now: number): void {
    const reason = this.staleReason(now)
    if (reason !== null && !this.#wasStale) {
      this.#log.error(`ticket keys are stale: ${reason}`)
      this.#events.stale?.({ reason })
    }
    this.#wasStale = reason !== null
  }

  #schedule (now: number): void {
    clearTimeout(this.#timer)
    const wait = Math.min(this.#refreshAt - now, this.#ring.nextChange(now) - now, MAX_TIMER_MS)
    // A timer may be up to a millisecond early.
    this.#timer = setTimeout(() => this.tick(), Math.max(wait, 0) + 1)
    this.#timer.unref()
  }
}
