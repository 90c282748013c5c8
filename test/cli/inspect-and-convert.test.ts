import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { makeKey, stateOf } from '../../lib/cli/files/timetable.js'
import { parseKeys, serializeKeys } from '../../lib/keys/formats/index.js'
import { ACCEPTS, ISSUES, WILL_ISSUE, type TicketKey } from '../../lib/keys/key.js'
import { cli, fails, mode, names, parseFile } from '../helpers/cli.js'

const HOUR = 3_600_000

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
