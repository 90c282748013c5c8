import { keyId } from '../keys/key.js'
import type { KeyRefresher } from './key-refresher.js'
import type { KeyRing, KeyStatus } from './key-ring.js'

/** The keys of a ring and their times, in ms since 1970. */
export interface RingStatus {
  /** id of the issuing key */
  current: string | null
  nextRotation: number | null
  /** when the last issuing key ends, unless new keys are loaded; `null` if the source makes keys, or if they have no end */
  keysEnd: number | null
  keys: KeyStatus[]
}

export function ringStatus (ring: KeyRing, { health }: KeyRefresher, now: number): RingStatus {
  const current = ring.current(now)
  return {
    current: current === undefined ? null : keyId(current.name),
    nextRotation: ring.nextRotation(now) ?? null,
    keysEnd: health.keysEnd,
    keys: ring.status(now)
  }
}
