import { mayIssue } from '../keys/timetable.js'
import type { KeySource, SourceKeys } from '../sources/key-source.js'
import type { Logger } from '../util/log.js'
import type { KeyRing } from './key-ring.js'

/** How long before the keys end to warn, and after which time an unchanged list is stale; in rotation intervals. */
const INTERVALS = 2

/** Notices when no key can issue, and warns in time when the keys are about to end. Times are ms since 1970. */
export class KeyHealth {
  /** how long each key issues, ms */
  rotationInterval: number
  /**
   * When the last issuing key ends, unless new keys are loaded; `null` for a source that makes its own keys, and for
   * keys without an end.
   */
  keysEnd: number | null = null
  readonly #source: KeySource
  readonly #ring: KeyRing
  readonly #log: Logger
  /** the option, ms */
  readonly #rotationInterval: number
  #changedAt = 0
  #timed = true
  #wasStale = false
  #wasEnding = false

  /** @param rotationInterval ms */
  constructor (source: KeySource, ring: KeyRing, log: Logger, rotationInterval: number) {
    this.#source = source
    this.#ring = ring
    this.#log = log
    this.rotationInterval = this.#rotationInterval = rotationInterval
  }

  /** Records what the source gave. @param changed whether the keys differ from the keys before */
  loaded ({ timed, keys, rotationInterval = this.#rotationInterval }: SourceKeys, changed: boolean, now: number): void {
    if (changed) this.#changedAt = now
    this.#timed = timed
    this.rotationInterval = rotationInterval
    const end = Math.max(...keys.filter(mayIssue).map(({ issueUntil, acceptUntil }) => Math.min(issueUntil, acceptUntil)))
    this.keysEnd = timed && this.#source.makesKeys !== true && Number.isFinite(end) ? end : null
  }

  /** Says why the keys are stale; `null` if they are not. */
  staleReason (now: number): string | null {
    if (this.#ring.current(now) === undefined) return 'no key may issue tickets now: full handshakes only, no new tickets'
    if (this.#timed || now - this.#changedAt <= INTERVALS * this.rotationInterval) return null
    return 'the list of keys has not changed for twice rotationInterval; its key goes on issuing'
  }

  /** Logs what has become wrong since the last call. Returns the reason if the keys have become stale. */
  check (now: number): string | null {
    const reason = this.staleReason(now)
    const isNew = reason !== null && !this.#wasStale
    this.#wasStale = reason !== null
    if (isNew) this.#log.error(`ticket keys are stale: ${reason}`, { reason })
    this.#warnOfEnd(now)
    return isNew ? reason : null
  }

  #warnOfEnd (now: number): void {
    const end = this.keysEnd
    const isEnding = end !== null && now < end && end - now < INTERVALS * this.rotationInterval
    if (isEnding && !this.#wasEnding) {
      const keysEnd = new Date(end).toISOString()
      const { type: source } = this.#source
      const message = `the ticket keys end at ${keysEnd}, and the source '${source}' has no newer keys: check what makes them`
      this.#log.warn(message, { keysEnd, source })
    }
    this.#wasEnding = isEnding
  }
}
