/**
 * The series of a metrics page and their values. Keys are `name` or `name{label="value",…}`, with labels in
 * alphabetical order.
 */
export type Metrics = Map<string, number>

const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*?)\})? (\S+)(?: \d+(?:\.\d+)?)?(?: # .*)?$/
const LABEL = /\s*([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"\s*(?:,|$)/y
const ESCAPED: Record<string, string> = { '\\\\': '\\', '\\"': '"', '\\n': '\n' }

/**
 * Parses a page in the Prometheus text format or in OpenMetrics. Throws for an invalid line and for a duplicate series.
 */
export function parseMetrics (text: string): Metrics {
  const metrics: Metrics = new Map()
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue
    const [, name, labels, number] = SAMPLE.exec(line) ?? []
    if (name === undefined || number === undefined) throw new Error(`not a sample: ${line}`)
    const key = series(name, parseLabels(labels ?? '', line))
    if (metrics.has(key)) throw new Error(`twice on the page: ${key}`)
    metrics.set(key, parseValue(number, line))
  }
  return metrics
}

/** The value of one series. Throws if the series is absent: a counter that never changed must be 0, not absent. */
export function value (metrics: Metrics, name: string, labels: Record<string, string> = {}): number {
  const key = series(name, labels)
  const found = metrics.get(key)
  if (found === undefined) throw new Error(`no series ${key}`)
  return found
}

/** The growth of each series. A series that is on one page only counts as 0 on the other page. */
export function difference (before: Metrics, after: Metrics): Metrics {
  const keys = new Set([...before.keys(), ...after.keys()])
  return new Map([...keys].map((key) => [key, (after.get(key) ?? 0) - (before.get(key) ?? 0)]))
}

/** The series that changed and whose names begin with `prefix`, as an object for comparison. */
export function changes (before: Metrics, after: Metrics, prefix = ''): Record<string, number> {
  return Object.fromEntries([...difference(before, after)].filter(([key, by]) => by !== 0 && key.startsWith(prefix)))
}

function series (name: string, labels: Record<string, string>): string {
  const pairs = Object.entries(labels).sort(([a], [b]) => a < b ? -1 : 1).map(([key, text]) => `${key}="${text}"`)
  return pairs.length === 0 ? name : `${name}{${pairs.join()}}`
}

function parseLabels (text: string, line: string): Record<string, string> {
  const labels: Record<string, string> = {}
  for (LABEL.lastIndex = 0; LABEL.lastIndex < text.length;) {
    const [, name, escaped] = LABEL.exec(text) ?? []
    if (name === undefined || escaped === undefined) throw new Error(`labels that can't be read: ${line}`)
    labels[name] = escaped.replace(/\\./g, (sequence) => ESCAPED[sequence] ?? sequence)
  }
  return labels
}

function parseValue (text: string, line: string): number {
  const number = /^[+-]?Inf$/.test(text) ? Number(`${text}inity`) : Number(text)
  if (Number.isNaN(number) && text !== 'NaN') throw new Error(`not a number: ${line}`)
  return number
}
