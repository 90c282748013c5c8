import type { KeyState, KeyTimes } from './key.js'

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
