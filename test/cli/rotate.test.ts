import { randomBytes } from 'node:crypto'
import { chmodSync, readdirSync, statSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { compareTimes, makeKey, rotateList, rotateTimed, stateOf } from '../../lib/cli/files/timetable.js'
import { parseKeys, serializeKeys } from '../../lib/keys/formats/index.js'
import { ACCEPTS, ISSUES, WILL_ISSUE, type TicketKey } from '../../lib/keys/key.js'
import { cli, fails, makeOld, mode, names, parseFile } from '../helpers/cli.js'

const HOUR = 3_600_000

const HOURLY = { rotationInterval: HOUR, ticketLifetime: 2 * HOUR }

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
