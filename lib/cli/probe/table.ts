import type { CrossCheck, ProbeResult, Report, Tally } from './report.js'
import { formatAddress } from './targets.js'
import { allResumed, groupBy, sum } from './verdict.js'

const UNITS: Array<[string, number]> = [['d', 86_400], ['h', 3600], ['m', 60]]

/** Renders a report as text: the results of each address, between addresses and between names, and the problems. */
export function renderReport (report: Report): string {
  const blocks = [renderResults(report.results)]
  if (report.acrossAddresses.length > 0) blocks.push(renderSharing(report.acrossAddresses))
  if (report.acrossNames.length > 0) blocks.push(renderNames(report.acrossNames))
  blocks.push(renderVerdict(report))
  return `${blocks.join('\n\n')}\n`
}

function renderResults (results: ProbeResult[]): string {
  const head = ['ADDRESS', 'SERVER NAME', 'PROTOCOL', 'TICKETS', 'USED ONCE', 'NEWEST', 'SAME', 'RENEWED', 'LIFETIME', 'OK']
  return renderTable([head, ...results.map(resultRow)])
}

function resultRow (result: ProbeResult): string[] {
  const row = [formatAddress(result), result.servername ?? '-', result.protocol]
  if (result.ticketsPerFullHandshake === null) { // no handshake finished
    return [...row, '-', result.status, '-', '-', '-', '-', yesNo(result.ok)]
  }
  return [
    ...row,
    round(result.ticketsPerFullHandshake),
    share(result.usedOnce),
    share(result.newest),
    share(result.same),
    result.renewal ?? '-',
    lifetimes(result),
    yesNo(result.ok)
  ]
}

function renderSharing (crossChecks: CrossCheck[]): string {
  const sources = groupBy(crossChecks, ({ from, protocol }) => [from.address, from.servername, protocol].join())
  const rows = [...sources.values()].flatMap((group) => {
    // If all other addresses accept the tickets, print a single line.
    return group.length > 1 && allResumed(group)
      ? [sharingRow({ ...group[0], ...sum(group) }, `all ${group.length} others`)]
      : group.map((crossCheck) => sharingRow(crossCheck, crossCheck.to.address))
  })
  return `Tickets shown to another address\n${renderTable([['FROM', 'SHOWN TO', 'SERVER NAME', 'PROTOCOL', 'RESUMED'], ...rows])}`
}

function sharingRow (crossCheck: CrossCheck, to: string): string[] {
  return [crossCheck.from.address, to, crossCheck.from.servername ?? '-', crossCheck.protocol, ratio(crossCheck)]
}

function renderNames (crossChecks: CrossCheck[]): string {
  const rows = crossChecks.map((crossCheck) => {
    const { from, to, protocol } = crossCheck
    return [from.address, from.servername ?? '-', to.servername ?? '-', protocol, ratio(crossCheck)]
  })
  return `Tickets shown under another server name\n${renderTable([['ADDRESS', 'ISSUED FOR', 'SHOWN FOR', 'PROTOCOL', 'RESUMED'], ...rows])}`
}

function ratio ({ shown, resumed }: CrossCheck): string {
  return `${resumed} of ${shown}`
}

function renderVerdict ({ ok, problems, acrossAddresses }: Report): string {
  if (!ok) return ['Problems', ...problems.map((problem) => `  ${problem}`)].join('\n')
  const sharing = acrossAddresses.length > 0 ? ', and the addresses share their keys' : ''
  return `All returning connections resume${sharing}.`
}

function renderTable (rows: string[][]): string {
  // The last column needs no padding.
  const widths = rows.reduce<number[]>(
    (widest, row) => row.slice(0, -1).map((cell, column) => Math.max(cell.length, widest[column] ?? 0)), [])
  return rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')).join('\n')
}

function share ({ connections, resumed, share }: Tally): string {
  return connections === 0 ? '-' : `${resumed}/${connections} ${(100 * share).toFixed(1)} %`
}

function lifetimes ({ lifetimeHint, renewedLifetimeHint }: ProbeResult): string {
  if (lifetimeHint === null) return '-'
  const first = lifetime(lifetimeHint)
  return renewedLifetimeHint === null || renewedLifetimeHint === lifetimeHint ? first : `${first}, then ${lifetime(renewedLifetimeHint)}`
}

function lifetime (seconds: number): string {
  if (seconds === 0) return 'not said'
  const [unit, size] = UNITS.find(([, size]) => seconds % size === 0) ?? ['s', 1]
  return `${seconds / size}${unit}`
}

function round (value: number): string {
  return Number.isInteger(value) ? `${value}` : value.toFixed(1)
}

function yesNo (value: boolean): string {
  return value ? 'yes' : 'no'
}
