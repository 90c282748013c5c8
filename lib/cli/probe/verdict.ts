import type { CrossCheck, ProbeResult, Tally } from './report.js'
import { formatAddress } from './targets.js'

type Group<T> = [T, ...T[]]

interface Count {
  shown: number
  resumed: number
}

/**
 * Describes why returning connections do not resume, and why addresses do not accept each other's tickets. One sentence
 * per problem.
 */
export function findProblems (results: ProbeResult[], acrossAddresses: CrossCheck[]): string[] {
  const byAddress = groupBy(results, formatAddress)
  const pairs = groupBy(acrossAddresses, ({ from, to }) => [from.address, to.address].sort().join(' '))
  return [
    ...[...byAddress].flatMap(([address, group]) => addressProblems(address, group)),
    ...[...pairs.values()].flatMap(sharingProblems)
  ]
}

// Reports a problem once per address, even if it affects several server names and protocols.
function addressProblems (address: string, results: ProbeResult[]): string[] {
  const reasons = groupBy(results.filter(({ ok }) => !ok), reason)
  return [...reasons].map(([text, group]) => {
    const where = group.length === results.length ? '' : ` (${group.map(caseName).join('; ')})`
    return `${address}${where}: ${text}`
  })
}

function reason (result: ProbeResult): string {
  if (result.status === 'unreachable') return `no connection: ${result.error}`
  if (result.status === 'unsupported') return 'it does not speak this version of TLS'
  if (result.status === 'broken off') return `connections kept failing: ${result.error}`
  if (result.error !== null) return `some connections failed: ${result.error}`
  if (result.ticketsPerFullHandshake === 0) return 'it issues no tickets'
  const { usedOnce, newest, same } = result
  if (usedOnce.resumed + newest.resumed + same.resumed === 0) return 'it issues tickets, but not one resumes'
  if (result.protocol === 'TLSv1.2') return `only ${counted(newest)} connections resumed with the newest ticket`
  const why = result.renewal === 'never' ? ', since resumed handshakes give no new ticket' : ''
  return `only ${counted(usedOnce)} connections resumed with each ticket used once${why}`
}

function sharingProblems (crossChecks: Group<CrossCheck>): string[] {
  const [{ from, to }] = crossChecks
  const { shown, resumed } = sum(crossChecks)
  // If a connection failed, its missing tickets say nothing about keys.
  if (shown > 0 && resumed === 0 && crossChecks.every(({ error }) => error === null)) {
    return [`${from.address} and ${to.address} do not share keys: none of ${shown} tickets resumed at the other address ` +
      '(different ticket keys, or session id contexts)']
  }
  const directions = [...groupBy(crossChecks, ({ from }) => from.address).values()]
  return directions.filter((direction) => !allResumed(direction)).map((direction) => {
    const [{ from, to }] = direction
    const { shown, resumed } = sum(direction)
    return `tickets of ${from.address} shown to ${to.address}: ${resumed} of ${shown} resumed${failure(direction)}`
  })
}

/** Whether every presented ticket resumed, and at least one was presented. */
export function allResumed (crossChecks: CrossCheck[]): boolean {
  return crossChecks.every(({ shown, resumed }) => shown > 0 && resumed === shown)
}

/** Items by key, in order of first appearance, at least one for each. `Map.groupBy` is not in Node.js 20. */
export function groupBy<T> (items: T[], key: (item: T) => string): Map<string, Group<T>> {
  const groups = new Map<string, Group<T>>()
  for (const item of items) {
    const group = groups.get(key(item))
    if (group === undefined) groups.set(key(item), [item])
    else group.push(item)
  }
  return groups
}

/** Adds up several cross-checks. */
export function sum (crossChecks: CrossCheck[]): Count {
  const sum = (counts: number[]): number => counts.reduce((total, count) => total + count, 0)
  return { shown: sum(crossChecks.map(({ shown }) => shown)), resumed: sum(crossChecks.map(({ resumed }) => resumed)) }
}

function failure (crossChecks: CrossCheck[]): string {
  const [error] = crossChecks.flatMap(({ error }) => error ?? [])
  return error === undefined ? '' : `; ${error}`
}

function counted ({ resumed, connections }: Tally): string {
  return `${resumed} of ${connections}`
}

function caseName ({ servername, protocol }: ProbeResult): string {
  return servername === null ? protocol : `${protocol} as ${servername}`
}
