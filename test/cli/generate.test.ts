import { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { stateOf } from '../../lib/cli/files/timetable.js'
import { main } from '../../lib/cli/main.js'
import { KEY_FORMATS, parseKeys } from '../../lib/keys/formats/index.js'
import { cli, Collector, fails, mode, parseFile, start } from '../helpers/cli.js'

const HOUR = 3_600_000

t.test('generate creates loadable files with mode 0600 and overwrites no file', async (t) => {
  const dir = t.testdir()
  await Promise.all(KEY_FORMATS.map(async (format) => {
    const path = join(dir, format)
    const { status, stderr } = await cli('generate', '--format', format, '--out', path)
    t.equal(status, 0, stderr)
    t.equal(mode(path), 0o600)
    t.equal(parseFile(path, format).keys.length, { json: 4, haproxy: 3 }[format as string] ?? 1)
  }))
  const before = readFileSync(join(dir, 'json'))
  await fails(t, 1, /exists, and is not overwritten/, 'generate', '--out', join(dir, 'json'))
  t.ok(readFileSync(join(dir, 'json')).equals(before))
  t.same(readdirSync(dir).sort(), [...KEY_FORMATS].sort(), 'no other file remains there')
})

t.test('a generated timetable begins now', async (t) => {
  const path = join(t.testdir(), 'keys.json')
  const begin = Date.now()
  await cli('generate', '--keys', '3', '--rotation-interval', '12h', '--ticket-lifetime', '1d', '--out', path)
  const { keys } = parseFile(path, undefined)
  t.same(keys.map((key) => stateOf(key, keys, Date.now())), ['current', 'next', 'next'])
  t.equal(keys[0]?.notBefore, -Infinity)
  t.ok(Math.abs((keys[0]?.issueUntil ?? 0) - begin - 12 * HOUR) < 20_000)
  t.equal(keys[1]?.notBefore, keys[0]?.issueUntil)
  t.equal((keys[2]?.acceptUntil ?? 0) - (keys[2]?.issueUntil ?? 0), 24 * HOUR)
})

t.test('generate --stdout writes keys, except to a terminal', async (t) => {
  const { status, stdout } = await cli('generate', '--format', 'nginx80', '--keys', '2', '--stdout')
  t.equal(status, 0)
  t.equal(parseKeys(stdout, 'nginx80', 'stdout').keys.length, 2)

  const terminal = Object.assign(new Collector(), { isTTY: true })
  const stderr = new Collector()
  t.equal(await main(['generate', '--stdout'], { stdout: terminal, stderr }), 2)
  t.match(stderr.collected.toString(), /not shown on a terminal/)
  t.equal(terminal.collected.length, 0)
  const closed = new Collector().on('error', () => {}).destroy()
  t.equal(await main(['generate', '--stdout'], { stdout: closed, stderr }), 1)
})

t.test('wrong usage exits with status 2, a failure with status 1, each with one line of explanation', async (t) => {
  const dir = t.testdir({ 'raw.key': '', empty: {} })
  writeFileSync(join(dir, 'raw.key'), randomBytes(48).fill(0xff, 0, 1))
  writeFileSync(join(dir, 'big.key'), Buffer.alloc(1 << 19))
  await Promise.all([
    fails(t, 2, /either --out FILE or --stdout/, 'generate'),
    fails(t, 2, /either --out/, 'generate', '--stdout', '--out', join(dir, 'x')),
    fails(t, 2, /whole number above 0/, 'generate', '--keys', '0', '--stdout'),
    fails(t, 2, /at most 256/, 'generate', '--keys', '257', '--stdout'),
    fails(t, 2, /HAProxy refuses fewer than 3/, 'generate', '--format', 'haproxy', '--keys', '2', '--stdout'),
    fails(t, 2, /needs 322 keys, more than 256/, 'generate', '--rotation-interval', '100ms', '--ticket-lifetime', '2s', '--stdout'),
    fails(t, 2, /Must be milliseconds/, 'generate', '--rotation-interval', 'soon', '--stdout'),
    ...['generate', 'rotate'].flatMap((command) => ['--rotation-interval', '--ticket-lifetime'].map(async (flag) => {
      await fails(t, 2, /The number has no unit\. Write ms, s, m, h or d after it, such as 3600s\./, command, flag, '3600')
    })),
    fails(t, 2, /choices|Allowed choices are json/, 'inspect', '--format', 'pem', dir),
    fails(t, 2, /required option '--to <format>'/, 'convert', dir, '--stdout'),
    fails(t, 2, /unknown command/, 'destroy')
  ])
  await Promise.all([
    fails(t, 1, /ENOENT/, 'inspect', join(dir, 'missing')),
    fails(t, 1, /ENOENT/, 'rotate', join(dir, 'missing')),
    fails(t, 1, /raw.key \(48 bytes\).*could be nginx48 or node48/, 'inspect', join(dir, 'raw.key')),
    fails(t, 1, /too many for a key file/, 'inspect', join(dir, 'big.key')),
    fails(t, 1, /too many for a key file/, 'inspect', '/dev/zero'),
    // The first page of this file is not mapped, so reading it fails.
    fails(t, 1, /EIO/, 'inspect', '/proc/self/mem'),
    fails(t, 1, /holds no key file/, 'inspect', join(dir, 'empty')),
    fails(t, 1, /holds no key file; make one/, 'rotate', '--format', 'nginx80', join(dir, 'empty'))
  ])
})

t.test('the program runs in a process of its own', async (t) => {
  const dir = t.testdir()
  const path = join(dir, 'keys.json')
  t.equal((await start('generate', '--out', path).done).status, 0)
  const [good, failed, wrong, none] = await Promise.all(
    [['inspect', path], ['inspect', `${path}x`], ['inspect'], []].map(async (args) => await start(...args).done)
  )
  t.match(good, { status: 0, stderr: '' })
  t.match(good?.stdout.toString(), /json, 4 keys/)
  t.match(failed, { status: 1, stderr: /^error: ENOENT[^\n]+\n$/ })
  t.match(wrong, { status: 2, stderr: /^error: missing required argument 'path'\n$/ })
  t.match(none, { status: 2, stderr: /Usage: fastify-ticket-keys/ })
})

t.test('the examples in the help texts run as shown', async (t) => {
  const { status, stdout } = await cli('--help')
  t.equal(status, 0)
  for (const command of ['generate', 'rotate', 'inspect', 'convert', 'probe']) t.match(stdout.toString(), new RegExp(`^ +${command} `, 'm'))
  await Promise.all(['generate', 'rotate', 'inspect', 'convert'].map(async (command) => {
    const help = await cli(command, '--help')
    t.equal(help.status, 0)
    t.match(help.stdout.toString(), new RegExp(`Examples:\n {2}\\$ fastify-ticket-keys ${command} `))
  }))
  const version = await cli('--version')
  t.match(version.stdout.toString(), /^\d+\.\d+\.\d+\n$/)
})
