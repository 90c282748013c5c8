import { nextChange } from '../keys/timetable.js'
import { assertSourceKeys, errorOf, eraseSourceKeys } from '../sources/assert-keys.js'
import type { KeySource, SourceKeys } from '../sources/key-source.js'
import type { Clock } from '../util/clock.js'
import { ClosedError, RotateError, SourceError } from '../util/errors.js'
import type { Logger } from '../util/log.js'
import { Mutex } from '../util/mutex.js'
import type { KeyRing } from './key-ring.js'
import { isPromise, loadKeys, withTimeout, type Loading } from './load-keys.js'
import { LoadHistory, resultOf, type LoadResult, type Outcome } from './load-history.js'
import { RefreshSchedule } from './refresh-schedule.js'
import { RotationTracker, type Rotation } from './rotation-tracker.js'
import { KeyHealth } from './key-health.js'

/** Event callbacks. They never receive key material, and may call close(). */
export interface KeyRefresherEvents {
  /** The ring has the source's keys. Their buffers are erased. `changed`: they differ from the keys before. */
  keys? (keys: SourceKeys, changed: boolean): void
  rotation? (event: Rotation): void
  reload? (event: { result: LoadResult }): void
  reloadError? (error: Error): void
  stale? (event: { reason: string }): void
}

/** Keeps the ring up to date: loads keys from the source, drops expired keys, and notices when no key can issue. */
export class KeyRefresher {
  readonly source: KeySource
  readonly history = new LoadHistory()
  readonly rotations: RotationTracker
  readonly health: KeyHealth
  readonly #ring: KeyRing
  readonly #clock: Clock
  readonly #log: Logger
  readonly #events: KeyRefresherEvents
  #warnings: readonly string[] = []
  /** why the last loaded keys could not be used; `null` if they could */
  #refused: Error | null = null
  readonly #schedule = new RefreshSchedule()
  readonly #mutex = new Mutex(() => { if (!this.#closed) this.#arm(this.#clock.now()) })
  #loadWaits = false
  #closed = false

  /** @param rotationInterval ms */
  constructor (source: KeySource, ring: KeyRing, clock: Clock, log: Logger, rotationInterval: number, events: KeyRefresherEvents = {}) {
    this.source = source
    this.#ring = ring
    this.#clock = clock
    this.#log = log
    this.#events = events
    this.health = new KeyHealth(source, ring, log, rotationInterval)
    this.rotations = new RotationTracker(ring, clock, (rotation) => {
      log.info(`ticket key ${rotation.current} issues tickets from now on`, { ...rotation })
      events.rotation?.(rotation)
    })
  }

  /** Loads the first keys. Rejects if there are none. */
  async start (): Promise<void> {
    const now = this.#clock.now()
    const loading = loadKeys(this.source, now, true)
    // Do not await keys that come without a promise: they take effect in the same turn of the event loop.
    const keys = isPromise(loading) ? await loading : loading
    if (this.#closed) eraseSourceKeys(keys)
    this.#checkOpen()
    const changed = keys !== null && this.#apply(keys, this.#clock.now())
    if (this.#ring.keys.length === 0) throw new SourceError(`${this.#where} gave no keys, and there are none before`)
    if (keys !== null) this.#events.keys?.(keys, changed)
    this.history.succeeded(now)
    this.#schedule.pollAfter(now, this.source)
    this.rotations.start(now)
    const watching = this.source.watch?.(() => this.#loadQuietly())
    if (isPromise(watching)) await withTimeout(this.source, 'watch', watching, true)
    this.#arm(this.#clock.now())
  }

  /** Counts rotations, erases expired keys, and loads from the source if a load is due or `loadNow` is true. */
  tick (loadNow = false): void {
    try {
      const { now, back } = this.rotations.observe()
      if (this.#closed) return
      this.#ring.dropExpired(now)
      if ((loadNow || back || this.#schedule.isDue(now)) && !this.#mutex.busy) this.#refresh(now)
      if (!this.#closed) this.#noticeStale(now)
    } finally {
      // A listener may have closed this refresher. If a listener throws, the timer must still be armed.
      if (!this.#closed) this.#arm(this.#clock.now())
    }
  }

  /** Loads the keys again and counts this reload. Rejects with the source's error. */
  async reload (): Promise<LoadResult> {
    return await this.#mutex.runExclusive(async () => {
      this.#checkOpen()
      return resultOf(await this.#load(true))
    })
  }

  /** Returns when the new key began to issue, ms since 1970. @param revoke drop every key that was made so far */
  async rotate (revoke = false): Promise<number> {
    const { source } = this
    const change = revoke ? source.replaceKeys?.bind(source) : source.rotate?.bind(source)
    const problem = `the source '${source.type}' does not make its own keys: rotate them where they come from`
    if (change === undefined) throw new RotateError(problem)
    return await this.#mutex.runExclusive(async () => {
      this.tick()
      this.#checkOpen()
      const now = this.#clock.now()
      const work = change(now)
      if (isPromise(work)) await withTimeout(source, 'rotate', work)
      resultOf(await this.#load(false))
      return now
    })
  }

  async close (): Promise<void> {
    this.#closed = true
    this.#schedule.stop()
    await this.source.close?.()
  }

  #checkOpen (): void { if (this.#closed) throw new ClosedError('the manager is closed') }

  get #where (): string { return `source '${this.source.type}'` }

  #refresh (now: number): void {
    this.#schedule.begin(now)
    const loading = this.#load(false)
    if (isPromise(loading)) this.#mutex.runExclusive(async () => await loading).catch(() => {})
  }

  /** Loads after the source reported a change. Like a poll, the load is counted only if the keys are different. */
  #loadQuietly (): void {
    // A load that is queued will see this change too.
    if (this.#loadWaits || this.#closed) return
    this.#loadWaits = true
    this.#mutex.runExclusive(async () => {
      this.#loadWaits = false
      if (!this.#closed) await this.#load(false)
    }).catch(() => {})
  }

  /**
   * Loads keys into the ring. Returns the error if the load fails. Keys that the source returns without a promise are
   * in the ring when this method returns, so the next handshake uses them.
   *
   * @param asked true if the application called reload(): the load is counted even if the keys are unchanged
   */
  #load (asked: boolean): Outcome | Promise<Outcome> {
    let loading: Loading
    try {
      loading = loadKeys(this.source, this.#clock.now(), false, () => this.#lost())
    } catch (thrown) {
      return this.#failed(thrown)
    }
    return isPromise(loading)
      ? loading.then((keys) => this.#finish(keys, asked), (thrown: unknown) => this.#failed(thrown))
      : this.#finish(loading, asked)
  }

  #finish (keys: SourceKeys | null, asked: boolean): Outcome {
    const { now } = this.rotations.observe()
    if (this.#closed) {
      eraseSourceKeys(keys)
      return keys === null ? 'unchanged' : 'success'
    }
    let changed: boolean
    try {
      // `null` means unchanged: the source still has the keys that could not be used.
      if (keys === null && this.#refused !== null) throw this.#refused
      changed = keys !== null && this.#apply(keys, now)
    } catch (thrown) {
      this.#refused = errorOf(thrown, this.#where)
      this.source.refused?.()
      return this.#failed(this.#refused)
    }
    this.#refused = null
    const result = changed ? 'success' : 'unchanged'
    const loadedAt = this.#clock.now()
    const recovered = this.history.succeeded(loadedAt)
    if (recovered) this.#log.info(`${this.#where}: the keys can be loaded again`)
    this.#schedule.pollAfter(loadedAt, this.source)
    if (keys !== null) this.#events.keys?.(keys, changed)
    // Do not count a poll without a change, or a rotation by a source that makes its own keys.
    if (asked || recovered || (result === 'success' && this.source.makesKeys !== true)) {
      this.history.reloads[result]++
      this.#events.reload?.({ result })
    }
    this.tick()
    return result
  }

  /** Replaces the keys of the ring. Returns whether the new keys differ from the previous keys. */
  #apply (keys: SourceKeys, now: number): boolean {
    assertSourceKeys(keys, this.#where)
    const changed = this.#ring.replace(keys, now, this.#where)
    this.health.loaded(keys, changed, now)
    const { refreshAt = Infinity, warnings = [] } = keys
    this.#schedule.askAt(refreshAt, now)
    // Report each warning once, not at every load.
    for (const warning of warnings) if (!this.#warnings.includes(warning)) this.#log.warn(warning)
    this.#warnings = warnings
    return changed
  }

  #failed (thrown: unknown): Error {
    const error = errorOf(thrown, this.#where)
    if (this.#closed) return error
    const { retryAfter, repeated } = this.history.failed(error)
    if (!repeated) this.#log.error(`${error.message}; the last good keys stay`, { err: error, source: this.source.type })
    const now = this.#clock.now()
    this.#schedule.pollAfter(now, this.source, retryAfter)
    this.#arm(now)
    this.#events.reloadError?.(error)
    return error
  }

  /** The keys of a load came too late and are erased. The source must give them again. */
  #lost (): void {
    if (this.history.lastError !== null) this.#refused = new SourceError(`${this.#where} gave keys too late`)
    this.source.refused?.()
  }

  #noticeStale (now: number): void {
    const reason = this.health.check(now)
    if (reason !== null) this.#events.stale?.({ reason })
  }

  #arm (now: number): void {
    this.#schedule.arm(now, nextChange(this.#ring.keys, now), this.#mutex.busy, () => this.tick())
  }
}
