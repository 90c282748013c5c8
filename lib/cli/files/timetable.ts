import { randomBytes } from 'node:crypto'
import { OptionsError } from '../../util/errors.js'
import { HAPROXY_MIN_KEYS, type KeyFormat } from '../../keys/formats/index.js'
import { ACCEPTS, MAX_KEYS, NAME_LENGTH, type KeyState, type KeyTimes, type TicketKey } from '../../keys/key.js'
import { currentKey, stateOf as stateBeside } from '../../keys/timetable.js'

/** How far ahead keys are known before they issue: so many intervals, and at least so many ms. */
const AHEAD_INTERVALS = 3
const AHEAD = 30_000

/** A `notBefore` from which on a key is not meant to issue at all: what a key yet to issue becomes in JSON. */
const NEVER = Date.parse('9999-12-31T00:00:00.000Z')

/** How long keys issue, and how long their tickets are accepted after that: ms. */
export interface Rotation {
  rotationInterval: number
  ticketLifetime: number
}

/** A new random key. */
export function makeKey (keyLength: number, times: KeyTimes): TicketKey {
  return { name: randomBytes(NAME_LENGTH), aesKey: randomBytes(keyLength), hmacKey: randomBytes(keyLength), ...times }
}

/** What a key is at a moment, in the company of the others. */
export function stateOf (key: TicketKey, keys: readonly TicketKey[], now: number): KeyState | 'expired' {
  return stateBeside(key, currentKey(keys, now), now) ?? 'expired'
}

/** For sorting: infinities can't be subtracted from each other. */
export function compareTimes (a: number, b: number): number {
  return Number(a > b) - Number(a < b)
}

/** Refuses a rotation so quick that the keys of its timetable would not fit in a ring. */
export function checkRotation (format: KeyFormat, { rotationInterval, ticketLifetime }: Rotation): void {
  const needed = Math.ceil(horizon(format, rotationInterval) / rotationInterval) + Math.ceil(ticketLifetime / rotationInterval) + 2
  if (needed > MAX_KEYS) {
    throw new OptionsError(
      `a rotation interval of ${rotationInterval} ms with a ticket lifetime of ${ticketLifetime} ms needs ${needed} keys, ` +
      `more than ${MAX_KEYS}`
    )
  }
}

/**
 * A timetable brought up to date: the expired keys dropped, new ones appended so that hosts know them long before
 * they issue. One key begins where the one before it ends, the very first has no beginning. Nothing
 * changes if nothing has to.
 */
export function rotateTimed (
  keys: readonly TicketKey[], format: KeyFormat, now: number, { rotationInterval, ticketLifetime }: Rotation
): { kept: TicketKey[], added: TicketKey[] } {
  const live = keys.filter(({ acceptUntil }) => acceptUntil > now)
  // Keys of lists without times have no end. Rotation is what gives them one.
  const spare = live.filter(({ notBefore }) => notBefore >= NEVER)
  const kept = live.filter((key) => !spare.includes(key)).map((key) => key.acceptUntil !== Infinity ? key : closeKey(key))
  const added: TicketKey[] = []

  // lighttpd has one time for both ends of a key.
  const endOf = (key: TicketKey) => format === 'lighttpd' ? key.acceptUntil - ticketLifetime : key.issueUntil
  let end = Math.max(-Infinity, ...kept.map(endOf))
  // Also when it is just enough: a moment later it would not be, and the next run had something to do again.
  while (end <= now + horizon(format, rotationInterval)) {
    const issueUntil = Math.max(end, now) + rotationInterval
    const times = { notBefore: end, issueUntil, acceptUntil: issueUntil + ticketLifetime }
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
  // lighttpd remembers three keys in all, those it loaded last: more than the next one would push out the current one.
  return format === 'lighttpd' ? interval : Math.max(AHEAD_INTERVALS * interval, AHEAD)
}

/**
 * A list without times, one step on. A key issues only after it has stood in the list for one step, so that every
 * host accepts it by then: in HAProxy's lists as the last, in the others as the second.
 */
export function stepList (keys: readonly TicketKey[], format: KeyFormat, keep: number): TicketKey[] {
  const [first, second, ...older] = keys as readonly [TicketKey, ...TicketKey[]]
  const added = makeKey(first.aesKey.length, ACCEPTS)
  if (format === 'haproxy') return [...keys, added].slice(-keep)
  return second === undefined ? [first, added] : [second, added, first, ...older].slice(0, keep)
}

/** Fewest keys of a list that can rotate without a burst of full handshakes. */
export function minKeep (format: KeyFormat): number {
  return format === 'haproxy' ? HAPROXY_MIN_KEYS : 2
}
