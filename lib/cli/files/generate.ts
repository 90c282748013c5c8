import { OptionsError } from '../../util/errors.js'
import { HAPROXY_MIN_KEYS, isTimed, listTimes, serializeKeys, type KeyFormat } from '../../keys/formats/index.js'
import { MAX_KEYS, type TicketKey } from '../../keys/key.js'
import { checkTarget, writeKeys, type Output, type Target } from './output.js'
import { checkRotation, makeKey, type RotationOptions } from './timetable.js'

/** Options of `generate`. */
export interface GenerateOptions extends Target, RotationOptions {
  format: KeyFormat
  keys?: number
}

/**
 * Makes new keys. Timed formats get a timetable that begins now.
 * In lists, the first key (HAProxy: the last but one) issues.
 */
export async function generate (options: GenerateOptions, output: Output): Promise<void> {
  const { format, keys: count = DEFAULT_KEYS[format] } = options
  checkTarget(options, output)
  if (isTimed(format)) checkRotation(format, options)
  if (count > MAX_KEYS) throw new OptionsError(`--keys: at most ${MAX_KEYS}`)
  if (format === 'haproxy' && count < HAPROXY_MIN_KEYS) throw new OptionsError(`--keys: HAProxy refuses fewer than ${HAPROXY_MIN_KEYS}`)
  const keyLength = format === 'nginx48' || format === 'node48' ? 16 : 32
  const keys = isTimed(format)
    ? makeTimetable(count, keyLength, Date.now(), options)
    : Array.from({ length: count }, (_, index) => makeKey(keyLength, listTimes(format, index, count)))
  await writeKeys(serializeKeys(keys, format), options, output)
}

/** The number of keys that servers expect in a file. For JSON: the current key and the next three. */
const DEFAULT_KEYS: Readonly<Record<KeyFormat, number>> = {
  json: 4, nginx48: 1, nginx80: 1, node48: 1, haproxy: HAPROXY_MIN_KEYS, lighttpd: 1
}

function makeTimetable (count: number, keyLength: number, now: number, { rotationInterval, ticketLifetime }: RotationOptions): TicketKey[] {
  return Array.from({ length: count }, (_, index) => {
    const issueUntil = now + (index + 1) * rotationInterval
    // The first key has no start time. If the clock is set back, the ring still has an issuing key.
    return makeKey(keyLength, {
      notBefore: index === 0 ? -Infinity : issueUntil - rotationInterval,
      issueUntil,
      acceptUntil: issueUntil + ticketLifetime
    })
  })
}
