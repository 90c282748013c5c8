import { Clock } from '../../lib/util/clock.js'
import type { KeySource, SourceKeys } from '../../lib/sources/key-source.js'
import { randomKey } from './keys.js'

/** A source whose answers the test sets. It counts calls of `load` and `close`. */
export class ScriptedSource implements KeySource {
  readonly type = 'script'
  pollInterval?: number
  loads = 0
  closed = 0
  changed: () => void = () => {}
  answer: () => SourceKeys | null | Promise<SourceKeys | null>

  constructor (answer: () => SourceKeys | null | Promise<SourceKeys | null>, pollInterval?: number) {
    this.answer = answer
    if (pollInterval !== undefined) this.pollInterval = pollInterval
  }

  load (): SourceKeys | null | Promise<SourceKeys | null> {
    this.loads++
    return this.answer()
  }

  watch (changed: () => void): void { this.changed = changed }
  close (): void { this.closed++ }
}

/** A clock that moves only when the test calls `step`. */
export class StoppedClock extends Clock {
  #now: number

  constructor (now = Date.now()) {
    super()
    this.#now = now
  }

  override now (): number { return this.#now }

  override step (milliseconds: number): void {
    this.#now += milliseconds
    super.step(milliseconds)
  }
}

/** An answer with one new key that issues without end. */
export function oneKey (rest: Partial<SourceKeys> = {}): SourceKeys {
  return { keys: [randomKey({ notBefore: 0, issueUntil: Infinity, acceptUntil: Infinity })], timed: true, ...rest }
}
