import { addressPairs, makeCases, namePairs, where } from './cases.js'
import type { Case, ProbeOptions } from './cases.js'
import { CONNECTIONS_PER_CROSS_CHECK, crossCheck } from './cross-check.js'
import { handshake } from './handshake.js'
import { measure, unreachable } from './measure.js'
import { Meter } from './progress.js'
import type { CrossCheck, ProbeResult, Progress, Report } from './report.js'
import { formatAddress } from './targets.js'
import { findProblems } from './verdict.js'

/**
 * Probes how servers issue, resume and renew session tickets, with real connections one after the other.
 * `targets` are `HOST`, `HOST:PORT` or `[IPv6]:PORT`. The report includes unreachable targets. Throws a `TypeError` for
 * invalid targets or options.
 */
export async function probe (
  targets: readonly string[], options: ProbeOptions = {}, onProgress: (progress: Progress) => void = () => {}
): Promise<Report> {
  const { connections = 30 } = options
  checkOptions(targets, { ...options, connections })
  const cases = await makeCases(targets, options)
  const meter = new Meter(mostConnections(cases, connections), onProgress)

  const results: ProbeResult[] = []
  const usable: Case[] = []
  for (const one of cases) {
    const result = await probeCase(one, connections, meter)
    results.push(result)
    if ((result.ticketsPerFullHandshake ?? 0) > 0) usable.push(one)
  }
  acceptOneProtocol(results)
  const acrossAddresses = await crossCheckAll(addressPairs(usable), meter)
  const acrossNames = await crossCheckAll(namePairs(usable), meter)
  const problems = findProblems(results, acrossAddresses)
  return { ok: problems.length === 0, connections, results, acrossAddresses, acrossNames, problems }
}

function checkOptions (targets: readonly string[], { connections = NaN, timeout = 1, protocols, servernames }: ProbeOptions): void {
  if (targets.length === 0) throw new TypeError('targets: none given')
  if (!Number.isSafeInteger(connections) || connections < 2) throw new TypeError('connections: not a whole number of 2 or more')
  if (!(timeout > 0)) throw new TypeError('timeout: not a number of milliseconds above 0')
  if (protocols?.length === 0) throw new TypeError('protocols: none given')
  if (servernames?.length === 0) throw new TypeError('servernames: none given')
}

async function probeCase ({ endpoint, client, error }: Case, connections: number, meter: Meter): Promise<ProbeResult> {
  const { host, address, port } = endpoint
  const { protocol, servername } = client
  meter.stage(3 * connections)
  const measurement = error !== undefined
    ? unreachable(protocol, error)
    : await measure((held) => {
      meter.connection()
      return handshake(client, held)
    }, protocol, connections, (series) => { meter.step(`${where(client)} ${protocol}, ${series}`) })
  return { host, address, port, servername, protocol, ...measurement }
}

async function crossCheckAll (pairs: Array<[Case, Case]>, meter: Meter): Promise<CrossCheck[]> {
  const crossChecks: CrossCheck[] = []
  for (const [from, to] of pairs) {
    meter.stage(CONNECTIONS_PER_CROSS_CHECK)
    meter.step(`${from.client.protocol}, tickets of ${where(from.client)} shown to ${where(to.client)}`)
    crossChecks.push(await crossCheck(from.client, to.client, () => { meter.connection() }))
  }
  return crossChecks
}

function mostConnections (cases: Case[], connections: number): number {
  const crossChecks = addressPairs(cases).length + namePairs(cases).length
  return cases.length * 3 * connections + crossChecks * CONNECTIONS_PER_CROSS_CHECK
}

// A server may support a single TLS version, if it can be probed over that version.
function acceptOneProtocol (results: ProbeResult[]): void {
  for (const result of results.filter(({ status }) => status === 'unsupported')) {
    result.ok = results.some((other) =>
      other.status !== 'unsupported' && formatAddress(other) === formatAddress(result) && other.servername === result.servername)
  }
}
