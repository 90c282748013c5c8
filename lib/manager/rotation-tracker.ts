import type { Clock } from '../util/clock.js'
import { keyId } from '../keys/key.js'
import type { HeldKey } from '../native/types.js'
import type { KeyRing } from './key-ring.js'

/** A change of the current key. Keys are identified by the first 8 hex digits of their names. */
export interface Rotation {
  current: string | null
  previous: string | null
}

/**
 * Tracks the current key, which the addon chooses by the clock. Knows since when the key issues, and counts rotations.
 */
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

  /** Records the first current key, which does not count as a rotation. */
  start (now: number): void {
    this.#current = this.#ring.current(now)
    this.#seen = this.#since = now
  }

  /** Counts the rotations since the last call. Returns the time now, and whether the clock was set back since then. */
  observe (): { now: number, back: boolean } {
    const now = this.#clock.now()
    const before = this.#seen
    const count = this.countAt(now)
    this.#seen = now
    const current = this.#ring.current(now)
    // Compare whole names. Names that are text can have equal first bytes, and then their ids are equal.
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

  /** Returns the number of rotations until `now`, including rotations that observe() has not seen yet. */
  countAt (now: number): number {
    const current = this.#ring.current(now)
    if (current === undefined || isSame(current, this.#current)) return this.#count
    // If the clock was set back or the ring was replaced, count one rotation.
    return this.#count + Math.max(1, now > this.#seen ? this.#ring.rotationsBetween(this.#seen, now) : 0)
  }

  /** Returns for how many ms the current key has issued in this manager; `null` without a current key. */
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
