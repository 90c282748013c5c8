import type { KeyState, KeyTimes } from './key.js'

/** Hosts hold the next keys this long before they issue, so that a late timer or another host never meets an unknown key. */
const AHEAD_INTERVALS = 3
const AHEAD_MS = 30_000

/** How long before its `notBefore` a key must be known, ms. */
export function leadTime (interval: number): number {
  return Math.max(AHEAD_INTERVALS * interval, AHEAD_MS)
}

/** How many keys that do not issue yet a timetable holds. */
export function keysAhead (interval: number): number {
  return Math.ceil(leadTime(interval) / interval)
}

/** The most keys that a timetable holds at once, to be compared with MAX_KEYS. Durations in ms. */
export function keysHeld (interval: number, lifetime: number, ahead = keysAhead(interval)): number {
  return Math.ceil(lifetime / interval) + 2 + ahead
}

/** The times of a key that issues for one interval from `start` on. Its tickets resume for `lifetime` after that. All in ms. */
export function timesFrom (start: number, interval: number, lifetime: number): KeyTimes {
  return { notBefore: start, ...timesUntil(start + interval, lifetime) }
}

/** The end of a key that issues until `end`. */
export function timesUntil (end: number, lifetime: number): Pick<KeyTimes, 'issueUntil' | 'acceptUntil'> {
  return { issueUntil: end, acceptUntil: end + lifetime }
}

/** The next moment at which a key changes its state; Infinity if none does. */
export function nextChange (keys: readonly KeyTimes[], now: number): number {
  const moments = keys.flatMap((key) => [key.notBefore, key.issueUntil, key.acceptUntil])
  return Math.min(...moments.filter((moment) => moment > now), Infinity)
}

/** The key with the newest `notBefore` that has begun and not passed `issueUntil`, as the addon chooses it. */
export function currentKey<Key extends KeyTimes> (keys: Iterable<Key>, now: number): Key | undefined {
  let current: Key | undefined
  for (const key of keys) {
    // A key with equal times is the same choice in the addon: the last of them.
    if (mayIssue(key) && key.notBefore <= now && now < key.issueUntil && now < key.acceptUntil &&
      (current === undefined || key.notBefore >= current.notBefore)) current = key
  }
  return current
}

/** False for keys that only accept. */
export function mayIssue (key: KeyTimes): boolean {
  return key.issueUntil > key.notBefore
}

/** What a key is at `now`; `undefined` once it has expired. */
export function stateOf (key: KeyTimes, current: KeyTimes | undefined, now: number): KeyState | undefined {
  if (now >= key.acceptUntil) return undefined
  if (key === current) return 'current'
  return key.notBefore > now ? 'next' : 'previous'
}

/** When the current key changes next, ms since 1970; `undefined` if it never does. */
export function nextRotation (keys: Iterable<KeyTimes>, now: number): number | undefined {
  let next: number | undefined
  for (const key of keys) {
    if (mayIssue(key) && key.notBefore > now && Number.isFinite(key.notBefore) &&
      (next === undefined || key.notBefore < next)) next = key.notBefore
  }
  return next
}

/** How often the current key changed after `from` and up to `to`. */
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
