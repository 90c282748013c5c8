import { PARTS, type Comparison, type Results, type Row } from './results.js'

const COLORS = ['#a8a29e', '#c2410c', '#0f766e', '#0369a1', '#7c3aed', '#b45309', '#4d7c0f']
const WIDTH = 760
const LEFT = 300
const RIGHT = 150
const ROW = 22

/** The SVG charts of some parts by file name. */
export function charts (results: Results): Map<string, string> {
  const files = new Map<string, string>()
  for (const part of PARTS) {
    const comparisons = results[part]?.comparisons
    if (comparisons === undefined) continue
    files.set(`bench-${part}.svg`, part === 'rotations' ? lineCharts(comparisons) : barChart(comparisons))
  }
  return files
}

/** One bar for each row: the ratio to the baseline of its comparison, with its interval. */
function barChart (comparisons: Comparison[]): string {
  const parts: string[] = []
  let y = 30
  const ratio = (row: Row): [string, number, number, number] | undefined => {
    const [name, figure] = Object.entries(row.figures).find(([name]) => name.endsWith('×')) ?? []
    return name === undefined || figure === undefined
      ? undefined
      : [name, figure.median, figure.low ?? figure.median, figure.high ?? figure.median]
  }
  const longest = Math.max(...comparisons.flatMap(({ rows }) => rows.map((row) => ratio(row)?.[3] ?? 0)))
  const x = (value: number): string => (LEFT + value / longest * (WIDTH - LEFT - RIGHT)).toFixed(1)
  for (const { name, rows } of comparisons) {
    parts.push(`<text x="10" y="${y}" font-weight="bold">${escape(name)}</text>`)
    rows.forEach((row, index) => {
      y += ROW
      const [unit = '', median = 0, low = 0, high = 0] = ratio(row) ?? []
      parts.push(`<text x="${LEFT - 8}" y="${y}" text-anchor="end">${escape(row.name)}</text>` +
        `<path d="M${LEFT} ${y - 5}H${x(median)}" stroke="${COLORS[index % COLORS.length]}" stroke-width="14"/>` +
        `<path d="M${x(low)} ${y - 5}H${x(high)}" stroke="#171717" stroke-width="2"/>` +
        `<text x="${Number(x(Math.max(median, high))) + 8}" y="${y}">${median.toFixed(2)} ${escape(unit)}</text>`)
    })
    y += ROW * 1.5
  }
  return svg(y, parts)
}

/** One chart for each comparison: the share resumed, second by second. */
function lineCharts (comparisons: Comparison[]): string {
  const parts: string[] = []
  const height = 150
  let top = 24
  for (const { name, rows } of comparisons) {
    parts.push(`<text x="10" y="${top}" font-weight="bold">${escape(name)}: share of returning connections that resume</text>`)
    const bottom = top + 30 + rows.length * ROW + height
    const seconds = Math.max(...rows.map(({ series = [] }) => series.length))
    const x = (second: number): string => (56 + second / seconds * (WIDTH - 72)).toFixed(1)
    const y = (share: number): string => (bottom - share * height).toFixed(1)
    for (const share of [0, 0.5, 1]) {
      parts.push(`<path d="M56 ${y(share)}H${WIDTH - 16}" stroke="#d4d4d4"/>` +
        `<text x="48" y="${Number(y(share)) + 4}" text-anchor="end">${share * 100} %</text>`)
    }
    rows.forEach(({ name, series = [], figures }, index) => {
      const color = COLORS[index + 1 === rows.length ? 2 : index] ?? ''
      const points = series.flatMap((share, second) => share === null ? [] : [`${x(second + 0.5)},${y(share)}`])
      const total = figures['resumed, %']?.median.toFixed(1)
      parts.push(`<polyline points="${points.join(' ')}" fill="none" stroke="${color}" stroke-width="2.5" stroke-linejoin="round"/>` +
        `<text x="56" y="${top + (index + 1) * ROW}" fill="${color}" font-weight="bold">${escape(name)}: ${total} %</text>`)
    })
    for (let second = 0; second < seconds; second += 10) {
      parts.push(`<text x="${x(second)}" y="${bottom + 18}" text-anchor="middle">${second} s</text>`)
    }
    top = bottom + 56
  }
  return svg(top - 24, parts)
}

function svg (height: number, parts: string[]): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" ` +
    `font-family="sans-serif" font-size="13" fill="#404040">
<rect width="${WIDTH}" height="${height}" fill="#fff"/>
${parts.join('\n')}
</svg>
`
}

function escape (text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
}
