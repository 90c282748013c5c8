/** Maximum delay of the timer. The system clock can be set at any time, and Node.js does not report that. */
const MAX_TIMER_MS = 10_000
/** Delay of a load if the `refreshAt` of the source has already passed. */
const MIN_REFRESH_DELAY_MS = 100

/** Decides when to load from the source again, and has the timer that wakes the refresher. Times are ms since 1970. */
export class RefreshSchedule {
  #refreshAt = Infinity
  #timer: NodeJS.Timeout | undefined

  /** Returns whether a load is due at `now`. */
  isDue (now: number): boolean {
    return now >= this.#refreshAt
  }

  /** Called when a load begins. Clears a time that has passed: the loaded keys name the next time. */
  begin (now: number): void {
    if (this.isDue(now)) this.#refreshAt = Infinity
  }

  /** Schedules a load at `refreshAt`, or after MIN_REFRESH_DELAY_MS if that time has passed. */
  askAt (refreshAt: number, now: number): void {
    this.#refreshAt = refreshAt > now ? refreshAt : now + MIN_REFRESH_DELAY_MS
  }

  /** Schedules a load at `moment`, unless an earlier load is scheduled. */
  askBy (moment: number): void {
    this.#refreshAt = Math.min(this.#refreshAt, moment)
  }

  /** Sets the timer. It calls `wake` at the next load or at `nextChange`, and after MAX_TIMER_MS at the latest. */
  arm (now: number, nextChange: number, wake: () => void): void {
    clearTimeout(this.#timer)
    const wait = Math.min(this.#refreshAt - now, nextChange - now, MAX_TIMER_MS)
    // A timer can fire up to a millisecond early.
    this.#timer = setTimeout(wake, Math.max(wait, 0) + 1)
    this.#timer.unref()
  }

  stop (): void {
    clearTimeout(this.#timer)
  }
}
