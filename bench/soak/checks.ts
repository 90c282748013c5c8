import type { Memory, ProcessState } from './host.js'
import type { Group } from './group.js'

/** Open files that a process may have more than after the first rounds. */
const MORE_DESCRIPTORS = 8
const MORE_HANDLES = 8

/** TLS contexts that may wait for the garbage collector, beside those of the servers. */
const MOST_CONTEXTS = 100

/** How much the memory of a process may grow between the second quarter and the last quarter of a run. */
const RESIDENT_GROWTH = { bytes: 8 * 2 ** 20, share: 0.08 }
const HEAP_GROWTH = { bytes: 2 * 2 ** 20, share: 0.08 }

/** In a shorter run, Node.js is still compiling, and the memory is not compared. */
export const MIN_MEMORY_SECONDS = 120

/** The memory of a process after a round. */
export interface Sample extends Memory {
  /** seconds since the start of the run */
  time: number
}

/** The differences between what the clients and the servers of a group counted, one a line. */
export function checkCounters (group: Group, { groups, log }: ProcessState): string[] {
  const state = groups[group.name]
  if (state === undefined) return [`group ${group.name}: no counters`]
  return [
    ...group.tally.compare(state.stats).map((line) => `group ${group.name}, ${line}`),
    ...log.map((line) => `group ${group.name}: the manager logged an unexpected ${line}`)
  ]
}

/** Open files, handles and contexts that have become more. */
export function checkHandles (process: string, first: Memory, now: Memory): string[] {
  const compare = (what: 'descriptors' | 'handles', more: number): string[] =>
    now[what] <= first[what] + more ? [] : [`process ${process}: ${now[what]} ${what}, ${first[what]} after the first rounds`]
  return [
    ...compare('descriptors', MORE_DESCRIPTORS),
    ...compare('handles', MORE_HANDLES),
    ...now.contexts <= MOST_CONTEXTS ? [] : [`process ${process}: ${now.contexts} TLS contexts were not collected`]
  ]
}

/** How much the memory of a process has grown, in bytes. The first quarter of a run does not count. */
export function growth (samples: Sample[], what: 'resident' | 'heap'): { from: number, to: number } {
  const end = samples.at(-1)?.time ?? 0
  const between = (from: number, to: number): number =>
    median(samples.filter(({ time }) => time >= end * from && time <= end * to).map((sample) => sample[what]))
  return { from: between(0.25, 0.5), to: between(0.75, 1) }
}

/** Memory that has grown by more than it may. */
export function checkMemory (process: string, samples: Sample[]): string[] {
  if ((samples.at(-1)?.time ?? 0) < MIN_MEMORY_SECONDS) return []
  return ([['resident', RESIDENT_GROWTH], ['heap', HEAP_GROWTH]] as const).flatMap(([what, { bytes, share }]) => {
    const { from, to } = growth(samples, what)
    if (to - from <= Math.max(bytes, from * share)) return []
    return [`process ${process}: ${what} memory grew from ${mebibytes(from)} to ${mebibytes(to)}`]
  })
}

export function mebibytes (bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`
}

function median (values: number[]): number {
  return values.sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0
}
