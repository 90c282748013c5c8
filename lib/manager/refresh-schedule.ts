import type { KeySource } from '../sources/key-source.js'

/** Maximum delay of the timer. The system clock can be set at any time, and Node.js does not report that. */
const MAX_TIMER_MS = 10_000
/** Delay of a load if the `refreshAt` of the source has already passed. */
const MIN_REFRESH_DELAY_MS = 100

/** Decides when to load from the source again, and has the timer that wakes the refresher. Times are ms since 1970. */
export class RefreshSchedule {
  /** the time that the source has named */
  #refreshAt = Infinity
  /** the time of the next poll, or of the next try after an error */
  #pollAt = Infinity
  #timer: NodeJS.Timeout | undefined

  /** Returns whether a load is due at `now`. */
  isDue (now: number): boolean {
    return now >= this.#next
  }

  /** Called when a load begins. Clears the times that have passed. */
  begin (now: number): void {
    if (now >= this.#refreshAt) this.#refreshAt = Infinity
    if (now >= this.#pollAt) this.#pollAt = Infinity
  }

  /** Schedules a load at `refreshAt`, or after MIN_REFRESH_DELAY_MS if that time has passed. */
  askAt (refreshAt: number, now: number): void {
    this.#refreshAt = refreshAt > now ? refreshAt : now + MIN_REFRESH_DELAY_MS
  }

  /**
   * Schedules the next poll of `source`. A time that the source has named stays valid.
   *
   * @param retryAfter after an error: ms until the next try, if that is sooner than the poll
   */
  pollAfter (now: number, source: KeySource, retryAfter = Infinity): void {
    this.#pollAt = now + Math.min(source.pollInterval ?? Infinity, retryAfter)
  }

  /**
   * Sets the timer. It calls `wake` at the next load or at `nextChange`, and after MAX_TIMER_MS at the latest.
   *
   * @param busy whether a load is in progress: the next load is scheduled when that load has ended
   */
  arm (now: number, nextChange: number, busy: boolean, wake: () => void): void {
    clearTimeout(this.#timer)
    const wait = Math.min(busy ? Infinity : this.#next - now, nextChange - now, MAX_TIMER_MS)
    // A timer can fire up to a millisecond early.
    this.#timer = setTimeout(wake, Math.max(wait, 0) + 1)
    this.#timer.unref()
  }

  get #next (): number {
    return Math.min(this.#refreshAt, this.#pollAt)
  }

  stop (): void {
    clearTimeout(this.#timer)
  }
}
