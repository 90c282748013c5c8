/** A median with the bounds of its 95 % confidence interval. */
export interface Interval {
  median: number
  low: number
  high: number
}

/** The widest interval that counts as precise, as a share of the median on each side. */
const PRECISION = 0.03

/**
 * The median of the samples. The bounds are order statistics: they assume nothing about the distribution. Fewer than 6
 * samples have no 95 % interval; the bounds are then the lowest and the highest sample.
 */
export function medianInterval (samples: number[]): Interval {
  const sorted = samples.toSorted((a, b) => a - b)
  const at = (index: number): number => sorted[index] ?? NaN
  const half = Math.floor(sorted.length / 2)
  const median = sorted.length % 2 === 1 ? at(half) : (at(half - 1) + at(half)) / 2
  const rank = lowRank(sorted.length)
  return { median, low: at(rank), high: at(sorted.length - 1 - rank) }
}

/** The greatest index such that the true median lies below that sample with a probability of at most 2.5 %. */
function lowRank (count: number): number {
  let probability = 0.5 ** count
  let below = probability
  let rank = 0
  while (rank + 1 < count / 2) {
    probability *= (count - rank) / (rank + 1)
    below += probability
    if (below > 0.025) break
    rank++
  }
  return rank
}

/** Whether the interval is at most 3 % wide on each side of the median. */
export function isPrecise ({ median, low, high }: Interval): boolean {
  return (high - low) / 2 <= PRECISION * median
}

/** A copy of the list in random order. */
export function shuffle<T> (list: T[]): T[] {
  return list.map((value) => ({ value, order: Math.random() })).sort((a, b) => a.order - b.order).map(({ value }) => value)
}
