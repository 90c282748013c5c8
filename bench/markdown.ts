import type { Comparison, Figure, Part, Results } from './results.js'

/** All parts as one Markdown text, with a table for each. */
export function toMarkdown (results: Results): string {
  return Object.values(results).map((part) => partToMarkdown(part)).join('\n')
}

/** The table of a part, and what a reader must know about the run. */
export function partToMarkdown ({ machine, date, comparisons }: Part): string {
  const columns = [...new Set(comparisons.flatMap(({ rows }) => rows.flatMap(({ figures }) => Object.keys(figures))))]
  const lines = [['', '', ...columns], ['---', '---', ...columns.map(() => '--:')]]
  for (const { name, rows } of comparisons) {
    rows.forEach((row, index) => {
      lines.push([index === 0 ? name : '', row.name, ...columns.map((column) => format(row.figures[column]))])
    })
  }
  const table = lines.map((cells) => `| ${cells.join(' | ')} |\n`).join('')
  return `${machine}, ${date}.${noise(comparisons)}\n\n${table}`
}

function noise (comparisons: Comparison[]): string {
  const noisy = comparisons.filter((comparison) => comparison.noisy).length
  if (noisy === 0) return ''
  return ` The machine was too noisy: in ${noisy} of ${comparisons.length} comparisons, a 95 % interval stayed wider than ±3 %.`
}

/** A figure with its interval. */
export function format (figure: Figure | undefined): string {
  if (figure === undefined) return ''
  const { median, low, high } = figure
  return low === undefined || high === undefined ? number(median) : `${number(median)} (${number(low)} to ${number(high)})`
}

function number (value: number): string {
  if (value >= 100 || Number.isInteger(value)) return Math.round(value).toLocaleString('en-US')
  return value.toFixed(value >= 10 ? 1 : 3)
}
