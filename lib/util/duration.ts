const UNITS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** What a duration may look like, for error messages. */
export const DURATION_FORM = "milliseconds as a number, or a string such as '90s', '15m', '12h' or '7d'"

/** A duration: milliseconds as a number, or a number with a unit (`ms`, `s`, `m`, `h`, `d`) as a string. */
export type Duration = number | string

/** Milliseconds of a duration; `undefined` if it is not one. */
export function parseDuration (value: unknown): number | undefined {
  if (typeof value === 'number') return Number.isFinite(value) && value >= 0 ? value : undefined
  if (typeof value !== 'string') return undefined
  const match = /^\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?\s*$/.exec(value)
  if (match === null) return undefined
  const milliseconds = Number(match[1]) * (UNITS[match[2] ?? 'ms'] as number)
  return Number.isFinite(milliseconds) ? milliseconds : undefined
}
