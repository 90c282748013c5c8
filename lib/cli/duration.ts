import { InvalidArgumentError } from 'commander'
import { hasUnit, parseDuration } from '../util/duration.js'

/** Longest delay of a Node.js timer. */
const MAX_DELAY_MS = 2 ** 31 - 1

/**
 * Milliseconds of a duration on the command line. A number needs a unit there, because other programs take seconds.
 * Throws an `InvalidArgumentError`.
 */
export function parseDurationFlag (text: string): number {
  const milliseconds = parseDuration(text)
  if (milliseconds !== undefined && !hasUnit(text)) {
    throw new InvalidArgumentError(`The number has no unit. Write ms, s, m, h or d after it, such as ${text.trim()}s.`)
  }
  if (milliseconds === undefined || milliseconds < 1) {
    throw new InvalidArgumentError("Must be milliseconds, seconds, minutes, hours or days, with the unit, such as '500ms', '90s' or '12h'.")
  }
  return Math.round(milliseconds)
}

/** Like `parseDurationFlag`, for a timer. */
export function parseTimeoutFlag (text: string): number {
  const milliseconds = parseDurationFlag(text)
  if (milliseconds > MAX_DELAY_MS) throw new InvalidArgumentError('Must be at most 24d.')
  return milliseconds
}
