import { randomBytes } from 'node:crypto'
import { OptionsError } from '../../util/errors.js'
import { HAPROXY_MIN_KEYS, type KeyFormat } from '../../keys/formats/index.js'
import { ACCEPTS, MAX_KEYS, NAME_LENGTH, type KeyState, type KeyTimes, type TicketKey } from '../../keys/key.js'
import { currentKey, keysAhead, keysHeld, leadTime, stateOf as stateBeside, timesUntil } from '../../keys/timetable.js'

/**
 * A key with this `notBefore` or a later one is not meant to issue yet. JSON stores an infinite `notBefore` as
 * such a time.
 */
const NEVER = Date.parse('9999-12-31T00:00:00.000Z')

/** How long keys issue, and how long their tickets are accepted after that, in ms. */
export interface RotationOptions {
  rotationInterval: number
  ticketLifetime: number
}

/** A new random key. */
export function makeKey (keyLength: number, times: KeyTimes): TicketKey {
  return { name: randomBytes(NAME_LENGTH), aesKey: randomBytes(keyLength), hmacKey: randomBytes(keyLength), ...times }
}

/** The state of a key at a time. It depends on the other keys. */
export function stateOf (key: TicketKey, keys: readonly TicketKey[], now: number): KeyState | 'expired' {
  return stateBeside(key, currentKey(keys, now), now) ?? 'expired'
}

/** For sorting: infinities can't be subtracted from each other. */
export function compareTimes (a: number, b: number): number {
  return Number(a > b) - Number(a < b)
}

/** Throws if the rotation is so fast that the keys of its timetable do not fit in a ring. */
export function checkRotation (format: KeyFormat, { rotationInterval, ticketLifetime }: RotationOptions): void {
  const needed = keysHeld(rotationInterval, ticketLifetime, format === 'lighttpd' ? 1 : keysAhead(rotationInterval))
  if (needed > MAX_KEYS) {
    throw new OptionsError(
      `a rotation interval of ${rotationInterval} ms with a ticket lifetime of ${ticketLifetime} ms needs ${needed} keys, ` +
      `more than ${MAX_KEYS}`
    )
  }
}

/**
 * Updates a timetable: removes expired keys, and adds keys so that hosts know them long before they issue. Each key
 * begins where the previous key ends. The first key has no start time. Changes nothing if nothing is due.
 */
export function rotateTimed (
  keys: readonly TicketKey[], format: KeyFormat, now: number, { rotationInterval, ticketLifetime }: RotationOptions
): { kept: TicketKey[], added: TicketKey[] } {
  const live = keys.filter(({ acceptUntil }) => acceptUntil > now)
  // Keys from lists without times have no end. Rotation gives them one.
  const spare = live.filter(({ notBefore }) => notBefore >= NEVER)
  const kept = live.filter((key) => !spare.includes(key)).map((key) => key.acceptUntil !== Infinity ? key : closeKey(key))
  const added: TicketKey[] = []

  // lighttpd has one expiry for issuing and accepting.
  const endOf = (key: TicketKey) => format === 'lighttpd' ? key.acceptUntil - ticketLifetime : key.issueUntil
  let end = Math.max(-Infinity, ...kept.map(endOf))
  // If the last key ends exactly at the horizon, add a key now. A run a moment later would have to add it anyway.
  while (end <= now + horizon(format, rotationInterval)) {
    const issueUntil = Math.max(end, now) + rotationInterval
    const times = { notBefore: end, ...timesUntil(issueUntil, ticketLifetime) }
    const reused = spare.shift()
    added.push(reused === undefined ? makeKey(kept[0]?.aesKey.length ?? 32, times) : { ...reused, ...times })
    end = issueUntil
  }
  return { kept: [...kept, ...spare], added }

  function closeKey (key: TicketKey): TicketKey {
    const issueUntil = key.issueUntil === Infinity ? Math.max(now, key.notBefore) + rotationInterval : key.issueUntil
    return { ...key, issueUntil, acceptUntil: Math.max(issueUntil, now) + ticketLifetime }
  }
}

function horizon (format: KeyFormat, interval: number): number {
  // lighttpd remembers only the last three keys that it loaded. More than one next key would push out the current key.
  return format === 'lighttpd' ? interval : leadTime(interval)
}

/**
 * Rotates a list without times by one step. A key must be in the list for one step before it issues, so that every host
 * accepts it by then. This next key is the last one for HAProxy, and the second one in other formats.
 */
export function rotateList (keys: readonly TicketKey[], format: KeyFormat, keep: number): TicketKey[] {
  const [first, second, ...older] = keys as readonly [TicketKey, ...TicketKey[]]
  const added = makeKey(first.aesKey.length, ACCEPTS)
  if (format === 'haproxy') return [...keys, added].slice(-keep)
  return second === undefined ? [first, added] : [second, added, first, ...older].slice(0, keep)
}

/** The fewest keys with which a list can rotate without a burst of full handshakes. */
export function minKeep (format: KeyFormat): number {
  return format === 'haproxy' ? HAPROXY_MIN_KEYS : 2
}
