// The run itself, in a process that main.ts watches. Arguments: seconds, seed, directory of the report.
import { CheckFailed, makeConnection } from './connections.js'
import { checkCounters, checkHandles, checkMemory, type Sample } from './checks.js'
import { ENDING_EVENTS, QUIET_EVENTS, type SoakEvent } from './events.js'
import { startFleet, type Fleet, type ServerProcess } from './fleet.js'
import type { Group } from './group.js'
import type { Memory, ProcessState } from './host.js'
import { Random } from './random.js'
import { writeReport } from './report.js'
import { until } from '../../test/helpers/process.js'

const LANES = 8
const CONNECTIONS_PER_LANE = 6

/** Events during each round. */
const QUIET_PER_ROUND = 3

const PROGRESS_SECONDS = 60

/** Rounds until every process has what it keeps open. */
const FIRST_ROUNDS = 4

const [seconds, seed] = process.argv.slice(2, 4).map(Number) as [number, number]
const directory = process.argv[4] as string
let started = performance.now()
const problems: string[] = []
const events = new Map<string, number>()
const samples = new Map<string, Sample[]>()
const first = new Map<string, Memory>()
let round = 0
let reported = 0

const elapsed = (): number => (performance.now() - started) / 1000

/** Tells the watchdog what is under way. */
function progress (doing: string): void {
  process.send?.(`round ${round}, ${doing}`)
}

async function runEvent (fleet: Fleet, choice: Random, list: readonly SoakEvent[]): Promise<void> {
  const event = choice.pick(list)
  const name = choice.pick(event.groups)
  const random = new Random(choice.below(2 ** 31))
  events.set(event.name, (events.get(event.name) ?? 0) + 1)
  for (const { peer, groups } of fleet.processes) {
    const group = groups.find((one) => one.name === name)
    if (group === undefined) continue
    progress(`${event.name}, group ${name}`)
    await event.run({ group, peer, random }).catch((error: Error) => {
      problems.push(`event '${event.name}', group ${name}: ${error.message}`)
    })
  }
}

/** Makes connections in several lanes while quiet events happen. */
async function runRound (fleet: Fleet, choice: Random): Promise<void> {
  const groups = fleet.processes.flatMap((process) => process.groups)
  const connecting = Array.from({ length: LANES }, async (_, lane) => {
    const random = new Random(seed * 1_000_003 + round * LANES + lane)
    for (let i = 0; i < CONNECTIONS_PER_LANE && problems.length === 0; i++) {
      const group = random.pick(groups)
      await makeConnection(group, random).catch((error: Error) => {
        problems.push(error instanceof CheckFailed ? error.message : `group ${group.name}: a handshake failed: ${error.stack}`)
      })
    }
  })
  const happening = async (): Promise<void> => {
    for (let i = 0; i < QUIET_PER_ROUND; i++) await runEvent(fleet, choice, QUIET_EVENTS)
  }
  await Promise.all([...connecting, happening()])
}

/** Waits until the servers have seen the end of every connection, and compares their counters with the clients'. */
async function check (process: ServerProcess): Promise<void> {
  let state: ProcessState | undefined
  const settled = (group: Group): boolean => {
    const { accepted, open } = state?.groups[group.name] ?? { accepted: -1, open: -1 }
    return accepted === group.tally.connections && open === 0
  }
  progress(`waiting for the end of all connections of process ${process.name}`)
  await until(async () => {
    state = await process.peer.ask<ProcessState>('state')
    return process.groups.every(settled)
  }, 60_000).catch(() => {})
  for (const group of process.groups.filter((group) => !settled(group))) {
    const { accepted, open } = state?.groups[group.name] ?? {}
    problems.push(`group ${group.name}: of ${group.tally.connections} connections the servers accepted ${accepted}; ${open} are open`)
  }
  if (state === undefined) return
  for (const group of process.groups) problems.push(...checkCounters(group, state))
  const { memory } = state
  if (round <= FIRST_ROUNDS) first.set(process.name, memory)
  problems.push(...checkHandles(process.name, first.get(process.name) ?? memory, memory))
  const own = samples.get(process.name) ?? []
  own.push({ time: elapsed(), ...memory })
  samples.set(process.name, own)
}

async function run (): Promise<Fleet> {
  const fleet = await startFleet((problem) => { problems.push(problem) })
  const choice = new Random(seed)
  started = performance.now()
  while (elapsed() < seconds && problems.length === 0) {
    round++
    progress('connecting')
    await runRound(fleet, choice)
    await Promise.all(fleet.processes.map(check))
    if (problems.length === 0) await runEvent(fleet, choice, ENDING_EVENTS)
    if (elapsed() - reported >= PROGRESS_SECONDS) {
      reported = elapsed()
      console.log(`${reported.toFixed(0)} s: ${round} rounds`)
    }
  }
  if (problems.length === 0) await Promise.all(fleet.processes.map(check))
  return fleet
}

const fleet = await run().catch((error: Error) => {
  console.log(`CHECK FAILED: the servers did not start: ${error.stack}`)
  process.exit(1)
})
for (const [name, own] of samples) problems.push(...checkMemory(name, own))
fleet.stop()
const groups = fleet.processes.flatMap((process) => process.groups)
writeReport(directory, { seconds: elapsed(), seed, rounds: round, events, samples, groups, problems })
process.exit(problems.length === 0 ? 0 : 1)
