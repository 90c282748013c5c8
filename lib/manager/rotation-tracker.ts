import type { Clock } from '../util/clock.js'
import { keyId } from '../keys/key.js'
import type { HeldKey } from '../native/types.js'
import type { KeyRing } from './key-ring.js'

/** The current key changed; ids are the first 8 hex digits of names. */
export interface Rotation {
  current: string | null
  previous: string | null
}

/** Notices, after the fact, what the addon has decided by the clock: which key issues, since when, and how often that changed. */
export class RotationTracker {
  #count = 0
  readonly #ring: KeyRing
  readonly #clock: Clock
  readonly #onRotation: (rotation: Rotation) => void
  #seen: number
  #current: HeldKey | undefined
  #since: number

  constructor (ring: KeyRing, clock: Clock, onRotation: (rotation: Rotation) => void) {
    this.#ring = ring
    this.#clock = clock
    this.#onRotation = onRotation
    this.#seen = this.#since = clock.now()
  }

  /** The first key is no rotation. */
  start (now: number): void {
    this.#current = this.#ring.current(now)
    this.#seen = this.#since = now
  }

  /** Counts what changed since the last look; returns the time, and whether the clock was set back since then. */
  observe (): { now: number, back: boolean } {
    const now = this.#clock.now()
    const before = this.#seen
    const count = this.countAt(now)
    this.#seen = now
    const current = this.#ring.current(now)
    // By the whole name: ids of names that are text begin alike.
    if (!isSame(current, this.#current)) {
      this.#count = count
      const previous = this.#current
      this.#current = current
      this.#since = now
      if (current !== undefined) {
        this.#onRotation({ current: keyId(current.name), previous: previous === undefined ? null : keyId(previous.name) })
      }
    }
    return { now, back: now < before - 1000 }
  }

  /** How often the current key has changed until now, which may be more than was observed. */
  countAt (now: number): number {
    const current = this.#ring.current(now)
    if (current === undefined || isSame(current, this.#current)) return this.#count
    // The clock went back, or the ring is another: one change, whatever lies between.
    return this.#count + Math.max(1, now > this.#seen ? this.#ring.rotationsBetween(this.#seen, now) : 0)
  }

  /** ms for which the current key has been the issuing one here; `null` without one. */
  currentKeyAge (now: number): number | null {
    const current = this.#ring.current(now)
    if (current === undefined) return null
    const begun = Number.isFinite(current.notBefore) ? current.notBefore : 0
    return Math.max(0, now - Math.max(begun, this.#since))
  }
}

function isSame (a: HeldKey | undefined, b: HeldKey | undefined): boolean {
  return a === undefined || b === undefined ? a === b : a.name.equals(b.name)
}
