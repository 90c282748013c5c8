import { format } from './markdown.js'
import type { Figure, PartName, Results } from './results.js'

/** What this package may cost, as a multiple of plain Node.js. */
interface Target {
  part: PartName
  comparison: string
  row: string
  figure: string
  atMost: number
}

const KEYS = ['P-256', 'RSA-2048']
const cpu = (comparison: string, atMost: number): Target =>
  ({ part: 'servers', comparison, row: 'this package', figure: 'CPU, ×', atMost })

const TARGETS: Target[] = [
  ...KEYS.flatMap((key) => ['TLS 1.3', 'TLS 1.2'].map((version) => cpu(`${version}, ${key}, full`, 1))),
  ...KEYS.map((key) => cpu(`TLS 1.2, ${key}, reused`, 1)),
  ...KEYS.map((key) => cpu(`TLS 1.3, ${key}, reused`, 1.05)),
  cpu('TLS 1.3, P-256, each once', 1),
  cpu('TLS 1.3, RSA-2048, each once', 0.85),
  ...['1.3', '1.2'].map((version): Target => ({
    part: 'memory',
    comparison: `TLS ${version}, resumed, in memory`,
    row: 'this package without application data',
    figure: 'in the callbacks, ×',
    atMost: 1
  }))
]

/** A table of the targets that were measured. A target is missed if the whole interval is above it. */
export function targets (results: Results): string {
  const rows = TARGETS.flatMap((target) => {
    const measured = measuredFor(target, results)
    if (measured === undefined) return []
    const met = (measured.low ?? measured.median) <= target.atMost + 0.0005
    const what = target.part === 'memory'
      ? `${target.comparison}: instructions of the callbacks without application data`
      : `${target.comparison}: CPU`
    return [`| ${what} | ${target.atMost.toFixed(2)} | ${format(measured)} | ${met ? 'yes' : 'no'} |\n`]
  })
  return `| this package, as a multiple of plain Node.js | at most | measured | met |\n| --- | --: | --: | --- |\n${rows.join('')}`
}

function measuredFor ({ part, comparison, row, figure }: Target, results: Results): Figure | undefined {
  return results[part]?.comparisons.find(({ name }) => name === comparison)?.rows.find(({ name }) => name === row)?.figures[figure]
}
