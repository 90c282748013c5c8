import { SourceError } from '../../util/errors.js'
import { HAPROXY_MIN_KEYS, isTimed, serializeKeys, type KeyFormat } from '../../keys/formats/index.js'
import type { KeyState, TicketKey } from '../../keys/key.js'
import { checkTarget, writeKeys, type Output, type Target } from './output.js'
import { readKeys, type KeyFiles } from './read.js'
import { compareTimes, stateOf } from './timetable.js'

/** Options of `convert`. */
export interface ConvertOptions extends Target {
  from?: KeyFormat
  to: KeyFormat
}

/** Writes keys in another format. @returns one sentence for each kind of information that is lost */
export async function convert (path: string, options: ConvertOptions, output: Output, now = Date.now()): Promise<string[]> {
  checkTarget(options, output)
  const { to } = options
  const read = await readKeys(path, options.from)
  const live = read.keys.filter((key) => stateOf(key, read.keys, now) !== 'expired')
  if (live.length === 0) throw new SourceError(`${path}: all keys have expired`)
  const keys = orderFor(to, { ...read, keys: live }, now)
  await writeKeys(serializeKeys(keys, to), options, output)
  return losses(read, live, to, now)
}

/** Orders the keys for a format: the current key in the issuing position, the keys nearest to it in time beside it. */
function orderFor (to: KeyFormat, read: KeyFiles, now: number): TicketKey[] {
  if (to === 'json') return read.keys
  const inState = (state: KeyState) => read.keys.filter((key) => stateOf(key, read.keys, now) === state)
  const current = inState('current')
  const next = inState('next').toSorted((a, b) => compareTimes(a.notBefore, b.notBefore))
  const previous = read.timed ? inState('previous').toSorted((a, b) => compareTimes(b.notBefore, a.notBefore)) : inState('previous')
  if (!read.timed && read.format === 'haproxy') previous.reverse()
  if (to !== 'haproxy') return [...current, ...next, ...previous]
  // HAProxy issues with the last key but one. The last key is the next key, or one that only accepts.
  const last = next.shift() ?? previous.shift()
  return [...next.reverse(), ...previous.reverse(), ...current, ...(last === undefined ? [] : [last])]
}

function losses (read: KeyFiles, live: readonly TicketKey[], to: KeyFormat, now: number): string[] {
  const lost: string[] = []
  const expired = read.keys.length - live.length
  if (expired > 0) lost.push(`${expired} expired ${expired === 1 ? 'key was' : 'keys were'} left out`)
  if (read.timed && !isTimed(to)) {
    const current = live.some((key) => stateOf(key, live, now) === 'current')
    lost.push(`all times are lost: ${to} has none, and its keys act by their order until the file is replaced`)
    if (!current) lost.push('none of the keys should issue now, but by the order one will')
  }
  if (!read.timed && isTimed(to)) lost.push('the order became times without end; rotate gives them one')
  if (to === 'lighttpd' && read.timed && read.format !== 'lighttpd') {
    lost.push('issueUntil is lost: lighttpd has one expiry for issuing and accepting, in whole seconds')
  }
  if (to === 'haproxy' && live.length < HAPROXY_MIN_KEYS) lost.push(`HAProxy refuses files with fewer than ${HAPROXY_MIN_KEYS} keys`)
  return lost
}
