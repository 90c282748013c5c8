import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { PROTOCOLS } from '../../lib/native/types.js'
import { growth, mebibytes, MIN_MEMORY_SECONDS, type Sample } from './checks.js'
import type { Group } from './group.js'

/** Everything that a report shows. */
export interface Results {
  seconds: number
  seed: number
  rounds: number
  /** how often each event happened */
  events: ReadonlyMap<string, number>
  /** by process */
  samples: ReadonlyMap<string, Sample[]>
  groups: readonly Group[]
  problems: readonly string[]
}

const COLORS = ['#0f766e', '#c2410c', '#4338ca']
const MOST_PROBLEMS = 20

/** Prints a summary. Writes it to report.md, and a chart of the memory to memory.svg. */
export function writeReport (directory: string, results: Results): void {
  const text = summary(results)
  console.log(`\n${text}`)
  mkdirSync(directory, { recursive: true })
  writeFileSync(join(directory, 'memory.svg'), chart(results))
  writeFileSync(join(directory, 'report.md'), `# Soak test\n\n${text}\n![Memory of the server processes](memory.svg)\n`)
  console.log(`The report is in ${directory}`)
}

function summary ({ seconds, seed, rounds, events, samples, groups, problems }: Results): string {
  const connections = groups.reduce((sum, { tally }) => sum + tally.connections, 0)
  const counted = groups.map(({ name, tally }) => {
    const all = PROTOCOLS.map((protocol) => tally.of(protocol))
    const add = (pick: (counts: typeof all[number]) => number): number => all.reduce((sum, counts) => sum + pick(counts), 0)
    const refused = add((counts) => [...counts.refused.values()].reduce((sum, count) => sum + count, 0))
    const columns = [tally.connections, add(({ full }) => full), add(({ offered }) => offered), add(({ resumed }) => resumed), refused,
      add(({ aborted }) => aborted)]
    return `| ${[name, ...columns].join(' | ')} |`
  })
  const memory = [...samples].map(([name, own]) => {
    const resident = growth(own, 'resident')
    const heap = growth(own, 'heap')
    const [first, last] = [own[0], own.at(-1)] as [Sample, Sample]
    return `| ${[name, mebibytes(resident.from), mebibytes(resident.to), mebibytes(heap.from), mebibytes(heap.to),
      `${first.descriptors} → ${last.descriptors}`].join(' | ')} |`
  })
  return [
    `${connections} connections in ${seconds.toFixed(0)} s, ${rounds} rounds, seed ${seed}`,
    `Node.js ${process.version}, ${cpus().length} × ${cpus()[0]?.model ?? 'unknown processor'}`,
    '',
    '| servers | connections | full handshakes | tickets offered | resumed | rejected | aborted |',
    '|---|---|---|---|---|---|---|',
    ...counted,
    '',
    '| process | resident, 2nd quarter | resident, last quarter | heap, 2nd quarter | heap, last quarter | open files |',
    '|---|---|---|---|---|---|',
    ...memory,
    ...seconds < MIN_MEMORY_SECONDS ? ['', `The memory was not compared: the run took less than ${MIN_MEMORY_SECONDS} s.`] : [],
    '',
    `Events: ${[...events].map(([name, count]) => `${name} ${count}`).sort().join(', ')}`,
    '',
    ...problems.length === 0
      ? ['Every check passed.']
      : [...problems.slice(0, MOST_PROBLEMS).map((problem) => `CHECK FAILED: ${problem}`),
          ...problems.length > MOST_PROBLEMS ? [`… and ${problems.length - MOST_PROBLEMS} more`] : []],
    ''
  ].join('\n')
}

/** An SVG line chart of each process's resident memory. */
function chart ({ samples }: Results): string {
  const all = [...samples.values()].flat()
  const end = Math.max(1, ...all.map(({ time }) => time))
  const most = Math.max(1, ...all.map(({ resident }) => resident))
  const [width, height, left, right, top, bottom] = [760, 300, 76, 16, 56, 44]
  const x = (time: number): string => (left + time / end * (width - left - right)).toFixed(1)
  const y = (bytes: number): string => (height - bottom - bytes / most * (height - top - bottom)).toFixed(1)
  const lines = [...samples].map(([name, own], index) => {
    const points = own.map(({ time, resident }) => `${x(time)},${y(resident)}`).join(' ')
    return `<polyline points="${points}" fill="none" stroke="${COLORS[index]}" stroke-width="2"/>
<text x="${left + index * 140}" y="42" fill="${COLORS[index]}" font-weight="bold">${name}</text>`
  })
  const scale = [0, 0.5, 1].map((share) =>
    `<path d="M${left} ${y(share * most)}H${width - right}" stroke="#d4d4d4"/>` +
    `<text x="${left - 8}" y="${Number(y(share * most)) + 4}" text-anchor="end">${mebibytes(share * most)}</text>` +
    `<text x="${x(share * end)}" y="${height - bottom + 18}" text-anchor="middle">${(share * end).toFixed(0)} s</text>`)
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" \
font-family="sans-serif" font-size="13" fill="#404040">
<rect width="${width}" height="${height}" fill="#fff"/>
<text x="${left}" y="20">Resident memory of the processes with servers, after a garbage collection</text>
${[...scale, ...lines].join('\n')}
</svg>
`
}
