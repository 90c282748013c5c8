/** The clock may be set at any time without notice: read it at least this often. */
const MAX_TIMER_MS = 10_000
/** For a source whose refreshAt has passed already. */
const MIN_REFRESH_DELAY_MS = 100

/** When to ask the source again, and the one timer that wakes the refresher. Moments are ms since 1970. */
export class RefreshSchedule {
  #refreshAt = Infinity
  #timer: NodeJS.Timeout | undefined

  /** Whether the source wants to be asked by `now`. */
  isDue (now: number): boolean {
    return now >= this.#refreshAt
  }

  /** The source names the next moment with the keys that it gives now. */
  begin (now: number): void {
    if (this.isDue(now)) this.#refreshAt = Infinity
  }

  /** Asks at the moment that a source has named. */
  askAt (refreshAt: number, now: number): void {
    this.#refreshAt = refreshAt > now ? refreshAt : now + MIN_REFRESH_DELAY_MS
  }

  /** Asks earlier than planned, if `moment` is earlier. */
  askBy (moment: number): void {
    this.#refreshAt = Math.min(this.#refreshAt, moment)
  }

  /** Wakes at the next moment to ask, or at `nextChange`, whichever is first. */
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
