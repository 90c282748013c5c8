import { execFile, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { connect } from 'node:net'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { charts } from '../../bench/charts.js'
import { updatePage } from '../../bench/page.js'
import { readResults, RESULTS_FILE } from '../../bench/results.js'
import { isPrecise, medianInterval } from '../../bench/statistics.js'
import { applicationDirectory, blocks, countBlocks, runShell, readRepoFile } from '../helpers/docs.js'
import { until } from '../helpers/process.js'
import { freePort } from '../helpers/real-servers.js'

const FILE = 'docs/benchmarks.md'
const [rotations = '', probe = '', commands = '', ...more] = blocks(FILE, 'sh')
const [plain = '', ...others] = blocks(FILE, 'js')
t.equal(more.length + others.length, 0)
t.equal(countBlocks(FILE), 4, 'every block is run, or run shorter')

/** Runs the benchmark in an empty directory, without the build. Returns its table. */
async function bench (directory: string, args: string[]): Promise<string> {
  const script = fileURLToPath(new URL('../../bench/index.ts', import.meta.url))
  const { stdout } = await promisify(execFile)(process.execPath, ['--import', import.meta.resolve('tsx'), script, ...args], {
    cwd: directory, env: { ...process.env, NODE_OPTIONS: undefined }
  })
  return stdout
}

t.test('the commands of the page exist', async (t) => {
  const { scripts } = JSON.parse(readRepoFile('package.json')) as { scripts: Record<string, string> }
  for (const [, name = ''] of `${rotations}${commands}`.matchAll(/^npm run (\S+)/gm)) t.type(scripts[name], 'string', name)
})

t.test('npm run bench -- rotations: this package resumes every returning connection, plain Node.js loses many', async (t) => {
  const directory = t.testdir()
  const [, args = ''] = /npm run bench -- (.+)$/m.exec(rotations) ?? []
  const table = await bench(directory, [...args.split(' '), '--seconds', '13'])
  const share = (name: string): number => Number(new RegExp(`\\| ${name} \\| ([\\d.]+) \\|`).exec(table)?.[1])
  t.equal(share('this package'), 100)
  t.ok(share('plain Node\\.js') < 90, table)
  const svg = readFileSync(join(directory, 'bench-rotations.svg'), 'utf8')
  t.match(svg, /^<svg [^]*<\/svg>\n$/)
  t.equal(svg.match(/<polyline /g)?.length, 2)
  t.match(svg, 'this package: 100.0 %')
})

t.test('npm run bench -- servers: a short run measures every server', async (t) => {
  const directory = t.testdir()
  await bench(directory, ['servers', '--rounds', '1', '--max-rounds', '1', '--connections', '3', '--key-types', '1'])
  const comparisons = readResults(join(directory, 'bench-results.json')).servers?.comparisons ?? []
  t.equal(comparisons.length, 6)
  for (const { name, rows } of comparisons) {
    t.equal(rows.length, 7, name)
    for (const { figures } of rows) t.ok((figures['CPU, µs']?.median ?? 0) > 0)
    const resumed = rows.find((row) => row.name === 'this package')?.figures['resumed, %']?.median
    t.equal(resumed, name.endsWith('full') ? 0 : name === 'TLS 1.2, P-256, each once' ? resumed : 100, name)
  }
})

t.test('the page and its charts show bench/results.json', async (t) => {
  const results = readResults(RESULTS_FILE)
  const page = readRepoFile(FILE)
  t.equal(updatePage(page, results), page, 'run: npm run bench:docs')
  for (const [name, svg] of charts(results)) t.equal(readRepoFile(`docs/img/${name}`), svg, 'run: npm run bench:docs')
})

t.test('a median has a 95 % interval of order statistics', async (t) => {
  const ten = [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]
  t.same(medianInterval(ten), { median: 5.5, low: 2, high: 9 })
  t.same(medianInterval([3, 1, 2]), { median: 2, low: 1, high: 3 })
  t.equal(isPrecise({ median: 100, low: 97, high: 103 }), true)
  t.equal(isPrecise({ median: 100, low: 96, high: 103 }), false)
})

t.test('the figures of the front page, of the chart and of the benchmark page are the same', async (t) => {
  const rows = [...readRepoFile(FILE).matchAll(/^\| .+ \| ([\d.]+ %) \| (\d+) of (\d+) \|$/gm)]
  for (const [, figure, resumed, all] of rows) t.equal(`${(100 * Number(resumed) / Number(all)).toFixed(1)} %`, figure)
  const [plainRotating, managedRotating, plainOnce, managedOnce, ...none] = rows.map(([, figure]) => figure)
  t.equal(none.length, 0)
  const shown = [...readRepoFile('README.md').matchAll(/^\| .+ \| ([\d.]+ %) \| ([\d.]+ %) \|$/gm)].map(([, ...figures]) => figures)
  t.same(shown, [[plainRotating, managedRotating], [plainOnce, managedOnce]])
  const chart = readRepoFile('docs/img/rotations.svg')
  const drawn = [...chart.matchAll(/(plain Node\.js|fastify-ticket-keys): ([\d.]+ %)</g)].map(([, name, figure]) => [name, figure])
  t.same(new Map(drawn as Array<[string, string]>), new Map([['plain Node.js', plainRotating], ['fastify-ticket-keys', managedRotating]]))
})

t.test('the probe of the page measures plain Node.js', async (t) => {
  const directory = await applicationDirectory(t, {})
  const port = await freePort()
  const child = spawn(process.execPath, ['--input-type=module', '--eval', plain.replace('8443', String(port))], {
    cwd: directory, env: { ...process.env, NODE_OPTIONS: undefined }, stdio: 'inherit'
  })
  const exit = new Promise((resolve) => { child.once('exit', resolve) })
  t.teardown(async () => {
    child.kill()
    await exit
  })
  await until(() => new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.on('connect', () => { resolve(true) }).on('error', () => { resolve(false) }).on('connect', () => { socket.destroy() })
  }))
  // The command exits with an error status, because some connections did not resume.
  const command = probe.trim().replace('8443', String(port)).replace('1000', '30')
  t.match(await runShell(`${command} || true`, t.testdir()), /20\/30 66\.7 %/)
})
