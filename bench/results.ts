import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Interval } from './statistics.js'

export const PARTS = ['servers', 'rotations', 'memory', 'scale'] as const
export type PartName = typeof PARTS[number]

/** One measured figure. A figure without bounds was counted, not sampled. */
export interface Figure extends Partial<Interval> {
  median: number
}

/** What was measured, and its unit, by the heading of its column. */
export type Figures = Record<string, Figure>

export interface Row {
  name: string
  figures: Figures
  /** the share resumed, second by second, from 0 to 1; null where nothing connected */
  series?: Array<number | null>
}

/** Rows that were measured side by side. The first row is the baseline. */
export interface Comparison {
  name: string
  rows: Row[]
  rounds: number
  /** whether an interval stayed wider than ±3 % */
  noisy: boolean
}

/** A part of the benchmark, as one run measured it. */
export interface Part {
  machine: string
  date: string
  comparisons: Comparison[]
}

export type Results = Partial<Record<PartName, Part>>

/** The committed results, from which docs/benchmarks.md is made. */
export const RESULTS_FILE = fileURLToPath(new URL('results.json', import.meta.url))

/** The results in a file; none if there is no such file. */
export function readResults (file: string): Results {
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) as Results : {}
}

/** Writes the parts of this run to a file. Keeps the other parts that the file has. */
export function mergeResults (file: string, results: Results): void {
  writeFileSync(file, `${JSON.stringify({ ...readResults(file), ...results }, null, 1)}\n`)
}
