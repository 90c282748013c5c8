import type { KeyState, KeyTimes } from './key.js'

/**
 * Minimum lead time of a new key, in intervals and in ms; the longer time counts. Hosts have the key this long before
 * it issues, so that a late timer or another host never causes an unknown key.
 */
const AHEAD_INTERVALS = 3
const AHEAD_MS = 30_000

/** Returns how many ms before its `notBefore` every host must have a key. */
export function leadTime (interval: number): number {
  return Math.max(AHEAD_INTERVALS * interval, AHEAD_MS)
}

/** Returns how many future keys a timetable has. */
export function keysAhead (interval: number): number {
  return Math.ceil(leadTime(interval) / interval)
}

/** Returns the maximum number of keys that a timetable holds at once. Compare it with MAX_KEYS. Durations are in ms. */
export function keysHeld (interval: number, lifetime: number, ahead = keysAhead(interval)): number {
  return Math.ceil(lifetime / interval) + 2 + ahead
}

/**
 * Returns the times of a key that issues for one interval from `start`. Its tickets resume for `lifetime` after that
 * interval. All values are in ms.
 */
export function timesFrom (start: number, interval: number, lifetime: number): KeyTimes {
  return { notBefore: start, ...timesUntil(start + interval, lifetime) }
}

/** Returns the end times of a key that issues until `end`. All values are in ms. */
export function timesUntil (end: number, lifetime: number): Pick<KeyTimes, 'issueUntil' | 'acceptUntil'> {
  return { issueUntil: end, acceptUntil: end + lifetime }
}

/** Returns when a key next changes its state, in ms since 1970; Infinity if no key changes. */
export function nextChange (keys: readonly KeyTimes[], now: number): number {
  const moments = keys.flatMap((key) => [key.notBefore, key.issueUntil, key.acceptUntil])
  return Math.min(...moments.filter((moment) => moment > now), Infinity)
}

/**
 * Returns the key that issues at `now`: of the keys between `notBefore` and `issueUntil`, the key with the latest
 * `notBefore`. The addon chooses by the same rule.
 */
export function currentKey<Key extends KeyTimes> (keys: Iterable<Key>, now: number): Key | undefined {
  let current: Key | undefined
  for (const key of keys) {
    // Of keys with the same `notBefore`, the last key issues, as in the addon.
    if (mayIssue(key) && key.notBefore <= now && now < key.issueUntil && now < key.acceptUntil &&
      (current === undefined || key.notBefore >= current.notBefore)) current = key
  }
  return current
}

/** Returns false for keys that only accept. */
export function mayIssue (key: KeyTimes): boolean {
  return key.issueUntil > key.notBefore
}

/** Returns the state of a key at `now`; `undefined` if the key has expired. */
export function stateOf (key: KeyTimes, current: KeyTimes | undefined, now: number): KeyState | undefined {
  if (now >= key.acceptUntil) return undefined
  if (key === current) return 'current'
  return key.notBefore > now ? 'next' : 'previous'
}

/** Returns when the current key changes next, in ms since 1970; `undefined` if it never changes. */
export function nextRotation (keys: Iterable<KeyTimes>, now: number): number | undefined {
  let next: number | undefined
  for (const key of keys) {
    if (mayIssue(key) && key.notBefore > now && Number.isFinite(key.notBefore) &&
      (next === undefined || key.notBefore < next)) next = key.notBefore
  }
  return next
}

/** Returns how often the current key changes after `from` and up to `to`. */
export function rotationsBetween (keys: readonly KeyTimes[], from: number, to: number): number {
  let current = currentKey(keys, from)
  let rotations = 0
  const moments = keys.filter((key) => mayIssue(key) && key.notBefore > from && key.notBefore <= to)
    .map((key) => key.notBefore).sort((a, b) => a - b)
  for (const moment of moments) {
    const then = currentKey(keys, moment)
    if (then !== undefined && then !== current) rotations++
    current = then
  }
  return rotations
}
