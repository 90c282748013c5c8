import { execFile, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { connect } from 'node:net'
import t from 'tap'
import { applicationDirectory, blocks, countBlocks, runShell, readRepoFile } from '../helpers/docs.js'
import { until } from '../helpers/process.js'
import { freePort } from '../helpers/real-servers.js'

const FILE = 'docs/benchmarks.md'
const [rotations = '', probe = '', ...more] = blocks(FILE, 'sh')
const [plain = '', ...others] = blocks(FILE, 'js')
t.equal(more.length + others.length, 0)
t.equal(countBlocks(FILE), 3, 'every block is run')

t.test('bench/rotations.ts: this package resumes every returning connection, plain Node.js loses many', async (t) => {
  const [, script = ''] = /npx tsx (bench\/\S+)$/m.exec(rotations) ?? []
  const chart = join(t.testdir(), 'chart.svg')
  const { stdout } = await promisify(execFile)(process.execPath, ['--import', import.meta.resolve('tsx'), script, '13', chart], {
    env: { ...process.env, NODE_OPTIONS: undefined }
  })
  const share = (name: string): number => Number(new RegExp(`^${name} +([\\d.]+) % resumed`, 'm').exec(stdout)?.[1])
  t.equal(share('fastify-ticket-keys'), 100)
  t.ok(share('plain Node\\.js') < 90, stdout)
  const svg = readFileSync(chart, 'utf8')
  t.match(svg, /^<svg [^]*<\/svg>\n$/)
  t.equal(svg.match(/<polyline /g)?.length, 2)
  t.match(svg, 'fastify-ticket-keys: 100.0 %')
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
