import type { ReloadResult } from './stats.js'

const FIRST_RETRY_MS = 1000
const MAX_RETRY_MS = 60_000

/** What a load found: different keys, or the keys that the ring holds. */
export type LoadResult = Exclude<ReloadResult, 'error'>
/** How a load ended. */
export type Outcome = LoadResult | Error

/** Returns the result of a load. Throws if it failed. */
export function resultOf (outcome: Outcome): LoadResult {
  if (outcome instanceof Error) throw outcome
  return outcome
}

/** Results of one source's loads, for status() and stats(), and the back-off after a failed load. */
export class LoadHistory {
  readonly reloads: Record<ReloadResult, number> = { success: 0, unchanged: 0, error: 0 }
  /** when a load last succeeded, with new or unchanged keys; ms since 1970 */
  lastReload: number | null = null
  lastError: string | null = null
  lastErrorCode: string | null = null
  #retryAfter = FIRST_RETRY_MS

  /** Records a successful load. Returns whether the previous load failed. */
  succeeded (now: number): boolean {
    const recovered = this.lastError !== null
    this.lastReload = now
    this.lastError = null
    this.lastErrorCode = null
    this.#retryAfter = FIRST_RETRY_MS
    return recovered
  }

  /**
   * Records and counts a failed load. Returns how many ms to wait before the next attempt, and whether the previous
   * load failed with the same message.
   */
  failed (error: Error): { retryAfter: number, repeated: boolean } {
    const repeated = this.lastError === error.message
    this.lastError = error.message
    this.lastErrorCode = String((error as NodeJS.ErrnoException).code ?? 'FST_TICKET_KEYS_SOURCE')
    this.reloads.error++
    const retryAfter = this.#retryAfter
    this.#retryAfter = Math.min(retryAfter * 2, MAX_RETRY_MS)
    return { retryAfter, repeated }
  }
}
