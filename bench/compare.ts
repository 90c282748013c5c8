import type { ChildProcess } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { cpuTime } from './cpu.js'
import type { Job, Tally } from './load-client.js'
import { message } from './processes.js'
import type { Running } from './programs.js'
import type { Comparison, Figures } from './results.js'
import { isPrecise, medianInterval, shuffle } from './statistics.js'

/** A server in a comparison, and how it is loaded. */
export interface Contender {
  name: string
  server: Running
  job: Omit<Job, 'ports' | 'connections'>
  /** Disturbs the server while it is measured. Returns a function that ends this. */
  disturb?: () => () => void
}

export interface Rounds {
  rounds: number
  /** Comparisons whose intervals are too wide get more rounds, up to this number. */
  maxRounds: number
  /** connections of each contender in each round */
  connections: number
}

interface Sample extends Tally {
  /** CPU time of the server per connection, in µs */
  cpu: number
}

interface Run {
  name: string
  contenders: Contender[]
  /** samples by contender; the same index is the same round */
  samples: Sample[][]
}

/** Enough for V8 to optimize the server and the client. */
const WARM_UP = 100

/** Measures all comparisons in rounds, in a new random order in each round. The first contender is the baseline. */
export async function compare (
  comparisons: Array<{ name: string, contenders: Contender[] }>, client: ChildProcess, how: Rounds
): Promise<Comparison[]> {
  const runs: Run[] = comparisons.map((comparison) => ({ ...comparison, samples: comparison.contenders.map(() => []) }))
  for (const { contenders } of runs) {
    for (const contender of contenders) await measure(contender, client, Math.min(WARM_UP, how.connections * 5))
  }
  for (let round = 0; round < how.maxRounds; round++) {
    const wanted = round < how.rounds ? runs : runs.filter((run) => !isRunPrecise(run))
    if (wanted.length === 0) break
    process.stderr.write(`round ${round + 1}: ${wanted.length} comparisons\n`)
    for (const run of shuffle(wanted)) {
      const order = shuffle(run.contenders.map((contender, index) => ({ contender, index })))
      for (const { contender, index } of order) run.samples[index]?.push(await measure(contender, client, how.connections))
    }
  }
  return runs.map(summarize)
}

async function measure ({ server, job, disturb }: Contender, client: ChildProcess, connections: number): Promise<Sample> {
  const stopDisturbing = disturb?.()
  const before = cpuTime(server.pid)
  client.send({ ...job, ports: server.ports, connections })
  const tally = await message<Tally>(client)
  // The server may still close the last connection.
  await sleep(5)
  const cpu = (cpuTime(server.pid) - before) / 1000 / connections
  stopDisturbing?.()
  return { ...tally, cpu }
}

function isRunPrecise (run: Run): boolean {
  return run.samples.every((samples) => isPrecise(ratio(samples, run.samples[0] ?? [])))
}

/** The median of the ratios of each round: what slows the machine for a whole round slows both. */
function ratio (samples: Sample[], baseline: Sample[]): ReturnType<typeof medianInterval> {
  return medianInterval(samples.map(({ cpu }, round) => cpu / (baseline[round]?.cpu ?? NaN)))
}

function summarize (run: Run): Comparison {
  const rows = run.contenders.map(({ name }, index) => {
    const samples = run.samples[index] ?? []
    const total = (key: keyof Tally): number => samples.reduce((sum, sample) => sum + sample[key], 0)
    const figures: Figures = {
      'CPU, µs': medianInterval(samples.map(({ cpu }) => cpu)),
      'CPU, ×': ratio(samples, run.samples[0] ?? []),
      'resumed, %': { median: 100 * total('resumed') / total('connections') },
      'bytes to the server': { median: total('sent') / total('connections') },
      'bytes from the server': { median: total('received') / total('connections') }
    }
    return { name, figures }
  })
  return { name: run.name, rows, rounds: run.samples[0]?.length ?? 0, noisy: !isRunPrecise(run) }
}
