import { execFile } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Comparison, Figures, Row } from './results.js'
import { medianInterval, shuffle } from './statistics.js'

const run = promisify(execFile)
const ROOT = fileURLToPath(new URL('..', import.meta.url))
/** Unlike instructions, times vary. */
const TIME_ROUNDS = 10
const TIMED_HANDSHAKES = 200

/** What native/bench/handshakes.cc can measure. The first is the baseline. */
const CONSTRUCTIONS = {
  node: "Node.js's own",
  bypass: 'this package without application data',
  policy: 'this package',
  floor: 'the floor: AES-CBC, HMAC and IV, prefetched'
}
type Construction = keyof typeof CONSTRUCTIONS

/** The callbacks of each construction, as callgrind names them. */
const CALLBACKS = /:(?:ticket_keys::)?(?:\(anonymous namespace\)::)?(OnTicketKey\w*|OnGenerate|OnDecrypt|GenerateNothing|TakeAll)\(/

/** Measures handshakes in memory with the addon's own sources: instructions of the server, and its CPU time. */
export async function measureMemory (directory: string, handshakes: number): Promise<Comparison[]> {
  const program = await build(directory)
  const results: Comparison[] = []
  for (const version of ['1.3', '1.2']) {
    for (const mode of ['resumed', 'full']) {
      const words = [version, 'none', mode]
      const times = await time(program, words)
      const rows: Row[] = []
      for (const construction of Object.keys(CONSTRUCTIONS) as Construction[]) {
        const { total, callbacks } = await count(program, [construction, ...words, String(handshakes)], directory)
        const figures: Figures = {
          instructions: { median: total },
          'instructions, ×': { median: total / (rows[0]?.figures['instructions']?.median ?? total) },
          'in the callbacks': { median: callbacks },
          'in the callbacks, ×': { median: callbacks / (rows[0]?.figures['in the callbacks']?.median ?? callbacks) },
          'CPU, ns': medianInterval(times.get(construction) ?? [])
        }
        rows.push({ name: CONSTRUCTIONS[construction], figures })
      }
      results.push({ name: `TLS ${version}, ${mode}, in memory`, rows, rounds: TIME_ROUNDS, noisy: false })
    }
  }
  return results
}

/** Builds the harness with the addon's optimization, against the system's OpenSSL. */
async function build (directory: string): Promise<string> {
  const sources = ['bench', 'tls', 'keys'].flatMap((folder) =>
    readdirSync(join(ROOT, 'native', folder)).filter((file) => file.endsWith('.cc')).map((file) => join('native', folder, file)))
  const program = join(directory, 'handshakes')
  await run('g++', ['-std=c++17', '-Os', '-g', '-Inative', ...sources, '-lssl', '-lcrypto', '-o', program], { cwd: ROOT })
  return program
}

async function time (program: string, words: string[]): Promise<Map<Construction, number[]>> {
  const times = new Map<Construction, number[]>()
  for (let round = 0; round < TIME_ROUNDS; round++) {
    for (const construction of shuffle(Object.keys(CONSTRUCTIONS) as Construction[])) {
      const { stdout } = await run(program, [construction, ...words, String(TIMED_HANDSHAKES)])
      times.set(construction, [...times.get(construction) ?? [], Number(stdout)])
    }
  }
  return times
}

/** Counts the server's instructions for one handshake, and those of its ticket callbacks. */
async function count (program: string, words: string[], directory: string): Promise<{ total: number, callbacks: number }> {
  const file = join(directory, 'callgrind.out')
  await run('valgrind', ['--tool=callgrind', '--toggle-collect=ServerStep', `--callgrind-out-file=${file}`, program, ...words])
  const { stdout } = await run('callgrind_annotate', ['--inclusive=yes', '--threshold=100', file], { maxBuffer: 1e8 })
  const handshakes = Number(words.at(-1))
  const instructions = (line: string): number => Number(line.trim().split(' ')[0]?.replaceAll(',', '')) / handshakes
  const lines = stdout.split('\n')
  const total = instructions(lines.find((line) => line.includes('PROGRAM TOTALS')) ?? '')
  // A function has a line for each file that its code comes from. The first, which is the largest, has the inclusive count.
  const callbacks = new Map<string, number>()
  for (const line of lines) {
    const name = CALLBACKS.exec(line)?.[1]
    if (name !== undefined && !callbacks.has(name)) callbacks.set(name, instructions(line))
  }
  return { total: Math.round(total), callbacks: Math.round([...callbacks.values()].reduce((sum, value) => sum + value, 0)) }
}
