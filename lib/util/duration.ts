const UNITS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** The allowed forms of a duration, for error messages. */
export const DURATION_FORM = "milliseconds as a number, or a string such as '90s', '15m', '12h' or '7d'"

/** A duration: milliseconds as a number, or a number with a unit (`ms`, `s`, `m`, `h`, `d`) as a string. */
export type Duration = number | string

interface Limit {
  milliseconds: number
  text: string
}

/** The shortest and the longest allowed duration. */
export interface DurationLimits {
  atLeast: Limit
  atMost?: Limit
}

/** Milliseconds of a duration; `undefined` if the value is not a duration. */
export function parseDuration (value: unknown): number | undefined {
  if (typeof value === 'number') return Number.isFinite(value) && value >= 0 ? value : undefined
  if (typeof value !== 'string') return undefined
  const match = /^\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?\s*$/.exec(value)
  if (match === null) return undefined
  const milliseconds = Number(match[1]) * (UNITS[match[2] ?? 'ms'] as number)
  return Number.isFinite(milliseconds) ? milliseconds : undefined
}

/**
 * Why a value is not a duration within the limits; `undefined` if it is. Messages put the text after the option's name.
 */
export function durationProblem (value: unknown, { atLeast, atMost }: DurationLimits): string | undefined {
  const milliseconds = parseDuration(value)
  if (milliseconds === undefined) return `must be ${DURATION_FORM}`
  if (milliseconds < atLeast.milliseconds) {
    return `must be at least ${atLeast.text}${hasUnit(value) ? '' : ' (a number without a unit is in milliseconds)'}`
  }
  if (atMost !== undefined && milliseconds > atMost.milliseconds) return `must be at most ${atMost.text}`
  return undefined
}

/** Whether a duration says its unit. */
export function hasUnit (value: unknown): boolean {
  return typeof value === 'string' && /[a-z]/.test(value)
}

/**
 * Whether a number without a unit was probably meant as seconds. This is so if it is less than a minute in
 * milliseconds. It is also so if it is at most 7 days in seconds and not a round number of milliseconds.
 */
export function looksLikeSeconds (value: unknown): boolean {
  const number = Number(value)
  return number < 60_000 || (number <= 604_800 && number % 10_000 !== 0)
}
