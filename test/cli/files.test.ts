import { Buffer } from 'node:buffer'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, existsSync, readdirSync, readFileSync, statSync, symlinkSync, unlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { hostId, withLock } from '../../lib/cli/files/lock.js'
import { readKeyFiles, type KeyFiles } from '../../lib/cli/files/read.js'
import { compareTimes, makeKey, rotateList, rotateTimed, stateOf } from '../../lib/cli/files/timetable.js'
import { main } from '../../lib/cli/main.js'
import { FormatError, WeakKeyError } from '../../lib/util/errors.js'
import { KEY_FORMATS, parseKeys, serializeKeys, type KeyFormat } from '../../lib/keys/formats/index.js'
import { ACCEPTS, ISSUES, WILL_ISSUE, type TicketKey } from '../../lib/keys/key.js'
import { removeStaleTempFiles, replaceFile, writeNewFile } from '../../lib/cli/files/atomic-write.js'
import { runModule, until } from '../helpers/process.js'
import { readTypeScript } from '../helpers/typescript.js'

const CLI = fileURLToPath(new URL('../../lib/cli/index.ts', import.meta.url))
const HOUR = 3_600_000
const HOURLY = { rotationInterval: HOUR, ticketLifetime: 2 * HOUR }

interface Outcome { status: number | null, stdout: Buffer, stderr: string }

/** The command line in a process of its own. */
function start (...args: string[]) {
  const env = { ...process.env, NODE_OPTIONS: undefined }
  const child = spawn(process.execPath, [...readTypeScript(), CLI, ...args], { stdio: ['ignore', 'pipe', 'pipe'], env })
  const stdout: Buffer[] = []
  let stderr = ''
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk))
  child.stderr.setEncoding('utf8').on('data', (text: string) => { stderr += text })
  const done = once(child, 'close').then(([status]): Outcome => ({
    status: status as number | null,
    stdout: Buffer.concat(stdout),
    stderr
  }))
  return { child, done }
}

/** Keeps a copy of what is written, as a pipe would: the writer erases its own. */
class Collector extends Writable {
  collected = Buffer.alloc(0)
  override _write (chunk: Buffer, _encoding: string, done: () => void): void {
    this.collected = Buffer.concat([this.collected, chunk])
    done()
  }
}

/** The command line in this process. */
async function cli (...args: string[]): Promise<Outcome> {
  const [stdout, stderr] = [new Collector(), new Collector()]
  const status = await main(args, { stdout, stderr })
  return { status, stdout: stdout.collected, stderr: stderr.collected.toString() }
}

/** Runs the command line and expects it to fail with one line and no stack. */
async function fails (t: Test, status: number, message: RegExp, ...args: string[]) {
  const outcome = await cli(...args)
  t.equal(outcome.status, status, args.join(' '))
  t.match(outcome.stderr, message)
  t.match(outcome.stderr, /^error: [^\n]+\n$/, 'printed on one line')
  t.equal(outcome.stdout.length, 0)
}

const names = ({ keys }: { keys: readonly TicketKey[] }) => keys.map(({ name }) => name.toString('hex'))
const parseFile = (path: string, format: KeyFormat | undefined) => parseKeys(readFileSync(path), format, path)
const makeOld = (path: string, ms: number) => utimesSync(path, new Date(Date.now() - ms), new Date(Date.now() - ms))
const mode = (path: string) => statSync(path).mode & 0o777

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
    // Its first page is not there: a read that fails.
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

t.test('inspect shows names, times and states, and no byte of a key', async (t) => {
  const dir = t.testdir()
  const now = Date.now()
  const times = (from: number) => ({
    notBefore: now + from * HOUR,
    issueUntil: now + (from + 1) * HOUR,
    acceptUntil: now + (from + 2) * HOUR
  })
  const keys = [-3, -1.5, -0.5, 0.5].map((from) => makeKey(32, times(from)))
  const path = join(dir, 'keys.json')
  writeFileSync(path, serializeKeys(keys, 'json'), { mode: 0o600 })
  const text = (await cli('inspect', path)).stdout.toString()
  const json = (await cli('inspect', '--json', path)).stdout.toString()
  const shown = JSON.parse(json) as { keys: unknown[] }
  for (const [index, state] of ['expired', 'previous', 'current', 'next'].entries()) {
    const name = keys[index]?.name.toString('hex') ?? ''
    t.match(text, new RegExp(`^${state} +${name} +AES-256-CBC +2`, 'm'))
    t.match(shown.keys[index], { name, id: name.slice(0, 8), state, notBefore: new Date(keys[index]?.notBefore ?? 0).toISOString() })
  }
  for (const { aesKey, hmacKey } of keys) {
    for (const half of [aesKey, hmacKey]) {
      for (const shown of [text, json]) {
        t.notOk(
          shown.includes(half.toString('base64').slice(0, 10)) || shown.includes(half.toString('hex').slice(0, 10))
        )
      }
    }
  }

  writeFileSync(join(dir, 'list'), serializeKeys([makeKey(16, ACCEPTS), makeKey(16, ISSUES), makeKey(16, WILL_ISSUE)], 'haproxy'))
  const list = (await cli('inspect', join(dir, 'list'), '--format', 'haproxy')).stdout.toString()
  t.match(list, /3 keys, without times.*\nSTATE +NAME +CIPHER\nprevious .*128-CBC\ncurrent .*\nnext /)
  writeFileSync(
    join(dir, 'one.json'),
    serializeKeys([makeKey(32, { notBefore: -Infinity, issueUntil: Infinity, acceptUntil: Infinity })], 'json')
  )
  writeFileSync(
    join(dir, 'late.json'),
    serializeKeys(
      [makeKey(32, times(2)), makeKey(32, { notBefore: -Infinity, issueUntil: 0, acceptUntil: Infinity })],
      'json'
    )
  )
  t.match((await cli('inspect', join(dir, 'one.json'))).stdout.toString(), /1 key\nSTATE.*\ncurrent .* always +for ever +for ever\n$/)
  t.match((await cli('inspect', join(dir, 'late.json'))).stdout.toString(), /always .*for ever\nNo key issues tickets now\.\n$/)
})

t.test('convert keeps the issuing key, and reports what the new format cannot hold', async (t) => {
  const dir = t.testdir()
  const file = (name: string) => join(dir, name)
  const now = Date.now()
  const times = (from: number) => ({
    notBefore: now + from * HOUR,
    issueUntil: now + (from + 1) * HOUR,
    acceptUntil: now + (from + 3) * HOUR
  })
  const [expired, older, old, current, next, later] = [-4, -2.5, -1.5, -0.5, 0.5, 1.5].map((from) =>
    makeKey(32, times(from))
  ) as [TicketKey, TicketKey, TicketKey, TicketKey, TicketKey, TicketKey]
  writeFileSync(file('json'), serializeKeys([expired, older, old, current, next, later], 'json'))
  const expected = (...keys: TicketKey[]) => names({ keys })

  const toNginx = await cli('convert', file('json'), '--to', 'nginx80', '--out', file('nginx80'))
  t.equal(toNginx.status, 0)
  t.equal(mode(file('nginx80')), 0o600)
  t.match(toNginx.stderr, /1 expired key was left out\nnote: all times are lost/)
  t.same(names(parseFile(file('nginx80'), 'nginx80')), expected(current, next, later, old, older))

  const toHaproxy = await cli('convert', file('json'), '--to', 'haproxy', '--stdout')
  t.same(
    names(parseKeys(toHaproxy.stdout, 'haproxy', 'stdout')),
    expected(later, older, old, current, next),
    'the last key but one is the current key'
  )

  await cli('convert', file('nginx80'), '--from', 'nginx80', '--to', 'haproxy', '--out', file('haproxy'))
  t.same(names(parseFile(file('haproxy'), 'haproxy')), expected(older, old, later, current, next))
  const back = await cli('convert', file('haproxy'), '--from', 'haproxy', '--to', 'json', '--out', file('back.json'))
  t.match(back.stderr, /the order became times without end/)
  const { keys } = parseFile(file('back.json'), 'json')
  t.same(keys.map((key) => stateOf(key, keys, now)), ['previous', 'previous', 'previous', 'current', 'next'])
  await cli('convert', file('haproxy'), '--from', 'haproxy', '--to', 'nginx80', '--out', file('again'))
  t.same(names(parseFile(file('again'), 'nginx80')), expected(current, next, later, old, older))

  const toLighttpd = await cli('convert', file('json'), '--to', 'lighttpd', '--out', file('lighttpd'))
  t.match(toLighttpd.stderr, /issueUntil is lost/)
  const stek = parseFile(file('lighttpd'), 'lighttpd')
  t.equal(stateOf(stek.keys[0] as TicketKey, stek.keys, now + 1000), 'current')

  writeFileSync(file('early.json'), serializeKeys([later], 'json'))
  const early = await cli('convert', file('early.json'), '--to', 'haproxy', '--out', file('early'))
  t.match(early.stderr, /none of the keys should issue now[^]*HAProxy refuses files with fewer than 3/)
  writeFileSync(file('late.json'), serializeKeys([expired], 'json'))
  writeFileSync(file('two-old.json'), serializeKeys([expired, makeKey(32, times(-4)), current], 'json'))
  t.match((await cli('convert', file('two-old.json'), '--to', 'haproxy', '--out', file('one'))).stderr, /2 expired keys were left out/)
  t.same(names(parseFile(file('one'), 'haproxy')), expected(current))
  await fails(t, 1, /all keys have expired/, 'convert', file('late.json'), '--to', 'node48', '--stdout')
  const tooLong = /nginx48, key 1: AES and HMAC keys must have 16 bytes each/
  await fails(t, 1, tooLong, 'convert', file('json'), '--to', 'nginx48', '--out', file('no'))
  t.notOk(existsSync(file('no')))
})

t.test('a timetable extends three intervals and 30 s ahead, without gaps', async (t) => {
  const start = Date.now()
  let keys: TicketKey[] = []
  for (let now = start; now < start + 48 * HOUR; now += HOUR / 4) {
    const before = keys
    const { kept, added } = rotateTimed(keys, 'json', now, HOURLY)
    keys = [...kept, ...added]
    t.ok(keys.filter((key) => stateOf(key, keys, now) === 'current').length === 1)
    t.ok(Math.max(...keys.map(({ issueUntil }) => issueUntil)) >= now + 3 * HOUR)
    t.ok(before.every((key) => keys.includes(key) || key.acceptUntil <= now), 'only expired keys are removed')
    t.ok(added.every(({ notBefore }) => before.length === 0 || notBefore > now + 2 * HOUR), 'new keys are known long before they issue')
    t.same(rotateTimed(keys, 'json', now, HOURLY), { kept: keys, added: [] }, 'a second run changes nothing')
  }
  t.equal(rotateTimed([], 'json', start, { rotationInterval: 1000, ticketLifetime: 1000 }).added.length, 31)

  const late = start + 100 * HOUR
  const { kept, added } = rotateTimed([{ ...makeKey(16, ISSUES), issueUntil: late - HOUR, acceptUntil: late + HOUR }], 'json', late, HOURLY)
  t.equal(kept.length, 1)
  t.match(added[0], { notBefore: late - HOUR, issueUntil: late + HOUR }, 'the first new key covers the gap')
  t.equal(added[0]?.aesKey.length, 16)
})

t.test('times sort, including infinite times', async (t) => {
  t.strictSame([Infinity, 5, -Infinity, 5, 3, -Infinity, Infinity].sort(compareTimes), [-Infinity, -Infinity, 3, 5, 5, Infinity, Infinity])
  t.strictSame([Infinity, -Infinity, 5].map((time) => compareTimes(time, time)), [0, 0, 0])
})

t.test('rotation ends the keys that had no end', async (t) => {
  const now = Date.now()
  const [accepts, issues, will] = [makeKey(32, ACCEPTS), makeKey(32, ISSUES), makeKey(32, WILL_ISSUE)]
  const { keys } = parseKeys(serializeKeys([accepts, issues, will], 'json'), 'json', 'k')
  const { kept, added } = rotateTimed(keys, 'json', now, HOURLY)
  t.match(kept, [{ issueUntil: 0, acceptUntil: now + 2 * HOUR }, { notBefore: 0, issueUntil: now + HOUR, acceptUntil: now + 3 * HOUR }])
  t.ok(added[0]?.name.equals(will.name), 'the next key of the list becomes the next key of the timetable')
  t.match(added[0], { notBefore: now + HOUR, issueUntil: now + 2 * HOUR })
})

t.test('a list without times advances by one step, and each key is known one step before it issues', async (t) => {
  for (const format of ['nginx48', 'nginx80', 'node48', 'haproxy'] as const) {
    let keys = [makeKey(16, ACCEPTS)]
    let issuing = keys[0]
    for (let step = 0; step < 8; step++) {
      const before = keys
      keys = rotateList(keys, format, 4)
      const next = format === 'haproxy' ? keys.at(-2) : keys[0]
      t.ok(before.includes(next as TicketKey), 'was in the list one step earlier')
      t.ok(keys.includes(issuing as TicketKey), 'is still accepted')
      t.ok(keys.length <= 4 && new Set(keys).size === keys.length)
      if (step > 0) t.not(next, issuing, 'advanced by one step')
      issuing = next
    }
  }
})

t.test('rotate: a file', async (t) => {
  const dir = t.testdir()
  const path = join(dir, 'keys.json')
  await cli('generate', '--out', path)
  chmodSync(path, 0o646)
  const before = parseFile(path, 'json')
  symlinkSync('keys.json', join(dir, 'link.json'))
  t.match((await cli('rotate', path)).stdout.toString(), /no key added or removed/)
  t.match((await cli('rotate', join(dir, 'link.json'), '--rotation-interval', '3h')).stdout.toString(), /2 added, 0 removed/)
  const after = parseFile(path, 'json')
  t.same(names(after).slice(0, 4), names(before))
  t.equal(mode(path), 0o644, 'keeps its mode, except for write permission of other users')
  t.ok(statSync(join(dir, 'link.json')).isFile() && readdirSync(dir).length === 2, 'the link is still a link')
  await fails(t, 2, /more than 256/, 'rotate', path, '--rotation-interval', '50ms')

  const stek = join(dir, 'stek')
  await cli('generate', '--format', 'lighttpd', '--out', stek)
  t.match((await cli('rotate', stek, '--format', 'lighttpd')).stdout.toString(), /1 added/)
  const { keys } = parseFile(stek, 'lighttpd')
  t.same(keys.map((key) => stateOf(key, keys, Date.now())), ['next', 'current'], 'lighttpd reads the first key of the file')
})

t.test('rotate: a list without times rotates by the age of its file', async (t) => {
  const dir = t.testdir()
  const path = join(dir, 'list')
  await cli('generate', '--format', 'nginx80', '--out', path)
  const rotate = async (...args: string[]) => (await cli('rotate', '--format', 'nginx80', path, ...args)).stdout.toString()
  const [first] = names(parseFile(path, 'nginx80'))
  t.match(await rotate(), /1 added, 0 removed/)
  const [still, second] = names(parseFile(path, 'nginx80'))
  t.equal(still, first, 'adding a next key does not change the current key')
  t.match(await rotate(), /no key/)
  makeOld(path, 0.95 * HOUR)
  t.match(await rotate(), /1 added, 0 removed/)
  t.same(names(parseFile(path, 'nginx80')).toSpliced(1, 1), [second, first])
  makeOld(path, -2 * HOUR)
  t.match(await rotate('--keep', '2'), /1 added, 2 removed/, 'a file time in the far future does not delay the rotation')
  await fails(t, 2, /--keep: 1 keys are not between 2 and 256/, 'rotate', path, '--format', 'nginx80', '--keep', '1')

  const haproxy = join(dir, 'haproxy')
  await cli('generate', '--format', 'haproxy', '--out', haproxy)
  const [, current, next] = names(parseFile(haproxy, 'haproxy'))
  makeOld(haproxy, HOUR)
  await fails(t, 2, /2 keys are not between 3 and 256/, 'rotate', haproxy, '--format', 'haproxy', '--keep', '2')
  t.match((await cli('rotate', haproxy, '--format', 'haproxy', '--keep', '3')).stdout.toString(), /1 added, 1 removed/)
  t.same(names(parseFile(haproxy, 'haproxy')).slice(0, 2), [current, next])
  unlinkSync(haproxy)

  await cli('generate', '--format', 'nginx80', '--out', join(dir, 'other'))
  await fails(t, 1, /in several files can't be rotated in one step/, 'rotate', dir, '--format', 'nginx80')
})

t.test('rotate: a directory gets one file for each key', async (t) => {
  const dir = join(t.testdir({ keys: { '.hidden': 'rubbish' } }), 'keys')
  const files = () => readdirSync(dir).filter((name) => !name.startsWith('.'))
  t.match((await cli('rotate', dir)).stdout.toString(), /4 added/)
  t.equal(files().length, 4)
  t.equal(mode(join(dir, files()[0] ?? '')), 0o600)
  t.match((await cli('rotate', dir)).stdout.toString(), /no key/)

  const now = Date.now()
  const [dead, open] = [makeKey(32, { notBefore: 0, issueUntil: now - 2, acceptUntil: now - 1 }), makeKey(32, ISSUES)]
  writeFileSync(join(dir, '0-dead.json'), serializeKeys([dead], 'json'))
  writeFileSync(
    join(dir, '0-open.json'),
    serializeKeys(
      [dead, open].map((key) => ({ ...key, name: randomBytes(16), aesKey: randomBytes(32), hmacKey: randomBytes(32) })),
      'json'
    )
  )
  t.match((await cli('rotate', dir)).stdout.toString(), /0 added, 2 removed/)
  t.notOk(files().includes('0-dead.json'), 'a file whose keys have all expired is removed')
  t.match(parseFile(join(dir, '0-open.json'), 'json').keys, [{ notBefore: 0 }], 'in the other file, the live key stays and gets an end')
  t.ok(parseFile(join(dir, '0-open.json'), 'json').keys.every(({ acceptUntil }) => Number.isFinite(acceptUntil)))

  writeFileSync(join(dir, 'rubbish'), 'rubbish')
  const before = files()
  await fails(t, 1, /rubbish/, 'rotate', dir)
  t.same(files(), before, 'nothing changes while a file is unusable')

  const steks = join(t.testdir({ steks: {} }), 'steks')
  await cli('generate', '--format', 'lighttpd', '--out', join(steks, 'a.key'))
  t.match((await cli('rotate', steks, '--format', 'lighttpd')).stdout.toString(), /1 added/)
  t.match(readdirSync(steks)[0], /\.key$/)
})

t.test('a lock is taken over only from a dead process', async (t) => {
  const dir = t.testdir()
  const order: string[] = []
  await Promise.all(['a', 'b', 'c'].map(async (who) => await withLock(dir, async () => {
    order.push(`${who}+`)
    await sleep(20)
    order.push(`${who}-`)
  })))
  t.match(order.join(''), /^(?:(.)\+\1-){3}$/, 'one run after the other')

  const own = await withLock(dir, async () => readdirSync(dir)[0] ?? '')
  t.same(readdirSync(dir), [])
  const dead = start('--version')
  await dead.done
  writeFileSync(join(dir, own.replace(/\d+/, `${dead.child.pid}`)), '')
  writeFileSync(join(dir, own.replace(`.${process.pid}.`, '.1.')), '')
  makeOld(join(dir, own.replace(`.${process.pid}.`, '.1.')), 120_000)
  const elsewhere = join(dir, own.replace(/\.[0-9a-f]{16}\./, '.0123456789abcdef.'))
  writeFileSync(elsewhere, '')
  let done = false
  const waiting = withLock(dir, async () => { done = true })
  await until(() => readdirSync(dir).length === 1)
  await sleep(150)
  t.notOk(done, 'a process of another host may be alive')
  t.same(readdirSync(dir).map((name) => join(dir, name)), [elsewhere], 'the lock files of dead processes are removed')
  await t.rejects(withLock(dir, async () => {}, 30), { code: 'FST_TICKET_KEYS_SOURCE', message: /locked by another run for 0.03 s/ })
  makeOld(elsewhere, 120_000)
  await waiting
  t.ok(done, 'until its lock is too old')

  await t.rejects(withLock(dir, async (lock) => {
    await lock.assertHeld()
    for (const name of readdirSync(dir)) unlinkSync(join(dir, name))
    await lock.assertHeld()
  }), { code: 'FST_TICKET_KEYS_SOURCE', message: /lost the lock/ })
})

t.test('containers that share a host name differ by their PID namespaces, if the system has such namespaces', async (t) => {
  const dir = t.testdir()
  for (const [name, namespace] of [
    ['one', 'pid:[1]'],
    ['same', 'pid:[1]'],
    ['other', 'pid:[2]']
  ] as const) {
    symlinkSync(namespace, join(dir, name))
  }
  const [one, same, other, none] = ['one', 'same', 'other', 'none'].map((name) => hostId(join(dir, name)))
  t.equal(one, same)
  t.equal(new Set([one, other, none]).size, 3)
  for (const id of [one, other, none]) t.match(id, /^[0-9a-f]{16}$/)
  t.equal(none, hostId(join(dir, 'missing too')), 'without namespaces, only the name counts')
  const own = await withLock(dir, async () => readdirSync(dir).find((name) => name.startsWith('.lock')))
  t.equal(own?.split('.')[3], hostId('/proc/self/ns/pid'))
})

t.test('files are written completely or not at all', async (t) => {
  const dir = t.testdir({ taken: {} })
  await writeNewFile(join(dir, 'new'), Buffer.from('one'))
  await t.rejects(writeNewFile(join(dir, 'new'), Buffer.from('two')), { code: 'FST_TICKET_KEYS_SOURCE' })
  await replaceFile(join(dir, 'new'), Buffer.from('three'))
  t.equal(readFileSync(join(dir, 'new'), 'utf8'), 'three')
  await t.rejects(replaceFile(join(dir, 'missing'), Buffer.from('x')), { code: 'ENOENT' })
  await t.rejects(replaceFile(join(dir, 'taken'), Buffer.from('x')), { code: 'EISDIR' })
  await t.rejects(writeNewFile(join(dir, 'wrong'), undefined as unknown as Buffer), TypeError)
  await t.rejects(writeNewFile(join(dir, 'directory/'), Buffer.from('x')), { code: 'ENOENT' })
  const nowhere = join(dir, 'none', 'x')
  await t.rejects(writeNewFile(nowhere, Buffer.from('x')), {
    code: 'FST_TICKET_KEYS_SOURCE',
    message: `ticket keys: ${nowhere} can't be written: its directory gives ENOENT`
  })
  t.same(readdirSync(dir).sort(), ['new', 'taken'], 'no temporary file remains')

  const [fresh, old] = ['fresh', 'old'].map((name) => join(dir, `.${name}.77.0123456789abcdef.tmp`)) as [string, string]
  for (const path of [fresh, old]) writeFileSync(path, '')
  makeOld(old, 120_000)
  await removeStaleTempFiles(dir)
  t.ok(existsSync(fresh) && !existsSync(old), 'temporary files of killed writers are removed when they are too old to be in use')
  symlinkSync('gone', old)
  await removeStaleTempFiles(dir)
  t.notSame(readdirSync(dir).filter((name) => old.endsWith(name)), [], 'a file of unknown age is not removed')
  const odd = t.testdir({ '.odd.77.0123456789abcdef.tmp': {} })
  makeOld(join(odd, '.odd.77.0123456789abcdef.tmp'), 120_000)
  await t.rejects(removeStaleTempFiles(odd), { code: /^(EISDIR|EPERM)$/ }, 'a file that cannot be removed is an error')
})

/** Looks at the keys again and again while others write, and at every moment expects a loadable set that has lost nothing. */
function watchKeys (t: Test, path: string, format: KeyFormat, check: (read: KeyFiles, before: number) => void) {
  let running = true
  let looks = 0
  const finished = (async () => {
    while (running) {
      const before = Date.now()
      try {
        check(await readKeyFiles(path, format), before)
        looks++
      } catch (error) {
        // A file of a directory can expire between being listed and being read.
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') t.fail(`not loadable: ${String(error)}`)
        if (error instanceof FormatError || error instanceof WeakKeyError) running = false
      }
      await sleep(3)
    }
  })()
  return {
    stop: async () => {
      running = false
      await finished
      return looks
    }
  }
}

/** Every key seen must be seen again until it expires. */
function loseNone (t: Test) {
  const seen = new Map<string, number>()
  return (read: KeyFiles, before: number) => {
    const here = new Set(names(read))
    const now = Date.now()
    for (const [name, acceptUntil] of seen) if (acceptUntil > now + 50 && !here.has(name)) t.fail(`lost ${name}`)
    if (!read.keys.some((key) => stateOf(key, read.keys, before) === 'current')) t.fail('no key issues')
    for (const key of read.keys) seen.set(key.name.toString('hex'), key.acceptUntil)
    return seen.size
  }
}

t.test('of several runs at once, one does the work', async (t) => {
  const dir = t.testdir({ directory: {} })
  const [file, list] = [join(dir, 'keys.json'), join(dir, 'list')]
  await cli('generate', '--out', file)
  await cli('generate', '--format', 'nginx80', '--out', list)
  for (const [args, added] of [
    [[file, '--rotation-interval', '3h'], 2],
    [[list, '--format', 'nginx80'], 1],
    [[join(dir, 'directory')], 4]
  ] as const) {
    const outcomes = await Promise.all(Array.from({ length: 4 }, async () => await cli('rotate', ...args)))
    t.same(
      outcomes.map(({ status }) => status),
      [0, 0, 0, 0]
    )
    const said = outcomes.map(({ stdout }) => stdout.toString().replace(/^.*: /, '')).sort()
    t.same(said, [`${added} added, 0 removed\n`, ...Array<string>(3).fill('no key added or removed\n')])
  }
})

t.test('two command lines at once, killed at random moments, leave a usable file', async (t) => {
  const dir = t.testdir({ directory: {} })
  const quick = ['--rotation-interval', '400ms', '--ticket-lifetime', '3s']
  const file = join(dir, 'keys.json')
  await cli('generate', '--out', file, '--keys', '80', ...quick)
  await cli('rotate', join(dir, 'directory'), ...quick)
  const watchers = [file, join(dir, 'directory')].map((path) => watchKeys(t, path, 'json', loseNone(t)))
  // The keys last for half a minute if no run gets through.
  const end = performance.now() + 15_000
  let killed = 0
  for (let round = 0; round < 24 && performance.now() < end; round++) {
    const path = round % 2 === 0 ? file : join(dir, 'directory')
    const runs = [start('rotate', path, ...quick), start('rotate', path, ...quick)]
    await sleep(150 + Math.random() * 400)
    for (const { child } of runs.slice(round % 3 === 0 ? 1 : 0)) child.kill('SIGKILL')
    for (const outcome of await Promise.all(runs.map(async ({ done }) => await done))) {
      if (outcome.status === null) killed++
      else t.equal(outcome.status, 0, outcome.stderr)
    }
  }
  for (const watcher of watchers) t.ok(await watcher.stop() > 10)
  // How many is a matter of how fast the machine is.
  t.ok(killed > 0, `${killed} killed`)
  for (const path of [file, join(dir, 'directory')]) t.equal((await cli('rotate', path, ...quick)).status, 0, 'the next run takes over')
  t.equal(readdirSync(dir).filter((name) => name.startsWith('.lock')).length, 0)
})

t.test('two runs at once, rotating without pause and killed at random moments, lose no key', async (t) => {
  const dir = t.testdir({ directory: {} })
  const list = join(dir, 'list')
  await cli('generate', '--format', 'haproxy', '--out', list)
  await cli('rotate', join(dir, 'directory'), '--rotation-interval', '200ms', '--ticket-lifetime', '2s')
  let previous: string[] = []
  const watchers = [
    watchKeys(t, join(dir, 'directory'), 'json', loseNone(t)),
    watchKeys(t, list, 'haproxy', (read) => {
      const here = names(read)
      // Between two looks there is no time for the hundred steps that it takes to drop the newest key.
      const upTo = here.indexOf(previous.at(-1) ?? here[0] ?? '') + 1
      if (upTo === 0) t.fail('lost the newest key')
      else if (previous.length > 0) t.ok(previous.join().endsWith(here.slice(0, upTo).join()), 'the rotations follow each other')
      previous = here
    })
  ]
  const code = `
    import { rotate } from '../../lib/cli/files/rotate.js'
    for (let round = 0; ; round++) {
      await rotate(process.argv[2], { format: 'haproxy', rotationInterval: 1, ticketLifetime: 1, keep: 100 })
      await rotate(process.argv[3], { format: 'json', rotationInterval: 200, ticketLifetime: 2000 })
      if (round === 0) process.send('ready')
    }`
  const run = () => runModule(code, { args: [list, join(dir, 'directory')], env: { _TAPJS_PROCESSINFO_COVERAGE_: '0' } })
  const end = performance.now() + 12_000
  let rounds = 0
  for (; rounds < 16 && performance.now() < end; rounds++) {
    const runs = [run(), run()]
    await Promise.all(runs.map(async ({ next }) => await next()))
    for (const { child } of runs) {
      await sleep(Math.random() * 100)
      child.kill('SIGKILL')
    }
    for (const { exit } of runs) t.equal((await exit).signal, 'SIGKILL')
  }
  for (const watcher of watchers) t.ok(await watcher.stop() > 10)
  t.ok(parseFile(list, 'haproxy').keys.length > rounds, 'each round adds at least one key')
})
