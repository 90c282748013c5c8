import { randomBytes } from 'node:crypto'
import t from 'tap'
import { Clock } from '../../lib/util/clock.js'
import { startTicketKeys } from '../../lib/manager/start.js'
import { resolveOptions } from '../../lib/config/options.js'
import type { KeySource, SourceKeys } from '../../lib/sources/key-source.js'
import type { SourceKey } from '../../lib/keys/key.js'
import { idOf, randomKey } from '../helpers/keys.js'
import { LogCollector, manage } from '../helpers/managed.js'
import { oneKey, ScriptedSource } from '../helpers/scripted-source.js'

const HOUR = 3_600_000

t.test('a source without keys is an error: the manager does not start, or keeps its keys', async (t) => {
  const empty = new ScriptedSource(() => ({ keys: [], timed: true }))
  await t.rejects(manage(t, { source: empty }), { code: 'FST_TICKET_KEYS_WEAK_KEY', message: "source 'script': holds no key" })
  t.equal(empty.closed, 1, 'the source is closed')
  await t.rejects(manage(t, { source: new ScriptedSource(() => null) }), {
    code: 'FST_TICKET_KEYS_SOURCE',
    message: "ticket keys: source 'script' gave no keys, and there are none before"
  })
  const key = randomKey()
  const source = new ScriptedSource(() => ({ keys: [{ ...key }], timed: false }))
  const { keys, log } = await manage(t, { source })
  const held = { name: key.name, notBefore: 0, issueUntil: Infinity, acceptUntil: Infinity }
  const many = [held, ...Array.from({ length: 256 }, () => randomKey())]
  for (const wrong of [
    [],
    many,
    [{ ...randomKey(), name: key.name }, held],
    [held, held],
    [key, key],
    [{ name: Buffer.alloc(16, 7), notBefore: 0, issueUntil: 1, acceptUntil: Infinity }]
  ]) {
    source.answer = () => ({ keys: wrong, timed: false })
    await t.rejects(keys.reload(), { code: 'FST_TICKET_KEYS_WEAK_KEY' })
    t.equal(keys.status().current, idOf(key))
  }
  source.answer = () => { throw new Error('down') }
  for (let i = 0; i < 3; i++) await t.rejects(keys.reload(), { message: 'down' })
  t.same(log.of('error').filter((message) => message.startsWith('down')), ['down; the last good keys stay'])
  t.match(keys.stats().reloads, { success: 0, error: 9 })
  await keys.close()
  t.equal(source.closed, 1)
})

t.test('an object that is not a key source is refused', async (t) => {
  const wrong: Array<[source: object, message: string]> = [
    [{ load () {} }, 'source must have a type (a string) and a load function'],
    [{ type: 'x', load: 1 }, 'source must have a type (a string) and a load function'],
    [{ type: 'x', load () {}, pollInterval: 0 }, 'source.pollInterval must be milliseconds, more than 0'],
    [{ type: 'x', load () {}, pollInterval: NaN }, 'source.pollInterval must be milliseconds, more than 0'],
    [{ type: 'x' }, 'source.type must be '],
    [{ type: 'file', path: '' }, 'source.path must be a path'],
    [{ type: 'file', path: 'x', format: 'pem' }, 'source.format must be one of json, nginx48'],
    [{ type: 'directory', file: 'x' }, "source.file is not an option of the source 'directory'; source.path must be a path"],
    [{ type: 'secret' }, 'source.secret must be a string or a Buffer'],
    [{ type: 'secret', secret: randomBytes(32), previousSecrets: ['y', 1] },
      'source.previousSecrets[0] must have at least 32 bytes, a line end at its end not counted; source.previousSecrets[1] must be'],
    [{ type: 'secret', secret: import.meta.filename }, 'source.secret is the path of a file: what is in it is the secret'],
    [{ type: 'static', keys: [] }, 'source.keys must be an array of'],
    [{ type: 'static', keys: new Array(1) }, 'source.keys[0] must be a Buffer, or an object with'],
    [{ type: 'static', keys: [Buffer.alloc(79)] }, 'source.keys[0] must have 80 bytes'],
    [
      { type: 'static', keys: [{ ...randomKey(), issueUntil: 5, acceptUntil: 4 }] },
      'source.keys[0] must have notBefore, issueUntil, acceptUntil in that order'
    ]
  ]
  for (const [source, message] of wrong) {
    t.throws(() => resolveOptions({ environment: false, source: source as KeySource }), {
      code: 'FST_TICKET_KEYS_OPTIONS',
      message: `ticket keys: ${message}`
    })
  }
})

t.test('invalid keys of a source: the error names the first fault, no bytes stay, and the last good keys stay', async (t) => {
  const held = oneKey()
  const { name } = held.keys[0] as SourceKey
  const expired = { notBefore: 0, issueUntil: 1, acceptUntil: 1 }
  const wrongKeys: Array<[keys: unknown[], problem: string]> = [
    [[null], 'keys[0] must be an object with name, aesKey and hmacKey'],
    [[randomKey(), 'key'], 'keys[1] must be an object with name, aesKey and hmacKey'],
    [[{ ...randomKey(), name: 'x'.repeat(16) }], 'keys[0] must have a name of 16 bytes (a Buffer)'],
    [[randomKey(), { ...randomKey(), ...expired, name: Buffer.alloc(0) }], 'keys[1] must have a name of 16 bytes (a Buffer)'],
    [[randomKey(), { ...randomKey(), ...expired, name: randomBytes(15) }], 'keys[1] must have a name of 16 bytes (a Buffer)'],
    [[{ ...randomKey(), name, hmacKey: undefined }], 'keys[0] must have an aesKey and an hmacKey that are Buffers'],
    [[{ ...randomKey(), name, aesKey: undefined }], 'keys[0] must have an aesKey and an hmacKey that are Buffers'],
    [[{ ...randomKey(), aesKey: new Uint8Array(32) }], 'keys[0] must have an aesKey and an hmacKey that are Buffers'],
    [[{ ...randomKey(), notBefore: NaN }], 'keys[0] must have times in milliseconds since 1970: notBefore, issueUntil, acceptUntil'],
    [[{ ...randomKey(), issueUntil: '5' }], 'keys[0] must have times in milliseconds since 1970: notBefore, issueUntil, acceptUntil'],
    [
      [{ ...randomKey(), acceptUntil: undefined }],
      'keys[0] must have times in milliseconds since 1970: notBefore, issueUntil, acceptUntil'
    ],
    [[{ ...randomKey(), notBefore: 2, issueUntil: 1 }], 'keys[0] must have notBefore, issueUntil, acceptUntil in that order'],
    [[{ ...randomKey(), acceptUntil: -1 }], 'keys[0] must have notBefore, issueUntil, acceptUntil in that order']
  ]
  const wrong: Array<[given: unknown, problem: string]> = [
    [undefined, 'neither keys nor null'],
    [5, 'neither keys nor null'],
    [{}, 'keys that are not an array'],
    [{ keys: new Set(), timed: true }, 'keys that are not an array'],
    [{ keys: [randomKey()] }, 'a timed that is neither true nor false'],
    [{ keys: [randomKey()], timed: true, refreshAt: NaN }, 'a refreshAt that is not a number of milliseconds'],
    [{ keys: [randomKey()], timed: true, warnings: 'one' }, 'warnings that are not an array of strings'],
    [{ keys: [randomKey()], timed: true, warnings: [1] }, 'warnings that are not an array of strings'],
    ...wrongKeys.map(([keys, problem]): [unknown, string] => [{ keys, timed: true }, `a wrong key: ${problem}`])
  ]
  const source = new ScriptedSource(() => held)
  const { keys } = await manage(t, { source })
  const { current } = keys.status()
  for (const [given, problem] of wrong) {
    source.answer = () => given as SourceKeys
    await t.rejects(keys.reload(), { code: 'FST_TICKET_KEYS_SOURCE', message: `ticket keys: source 'script' gave ${problem}` })
    const left = (given as { keys?: unknown } | undefined)?.keys
    if (!Array.isArray(left)) continue
    const halves = left
      .flatMap((key: Record<string, unknown> | null) => [key?.['aesKey'], key?.['hmacKey']])
      .filter((half) => Buffer.isBuffer(half))
    t.ok(halves.every((half) => half.every((byte) => byte === 0)), 'erased')
  }
  t.equal(keys.status().current, current)
  t.equal(keys.stats().reloads.error, wrong.length)
})

t.test('a source may throw a value that is not an Error', async (t) => {
  const source = new ScriptedSource(oneKey)
  const { keys, log } = await manage(t, { source })
  for (const thrown of ['text', undefined] as unknown[]) {
    source.answer = () => { throw thrown }
    await t.rejects(keys.reload(), {
      code: 'FST_TICKET_KEYS_SOURCE',
      message: "ticket keys: source 'script' threw a value that is not an Error"
    })
  }
  t.same(log.of('error'), [
    "ticket keys: source 'script' threw a value that is not an Error; the last good keys stay (FST_TICKET_KEYS_SOURCE)"
  ])
})

t.test('static keys with times follow their times, and the others their position', async (t) => {
  const now = Date.now()
  const [placed, next, old] = [randomKey(), randomKey(), randomKey()]
  const parts = ({ name, aesKey, hmacKey }: typeof placed): Pick<typeof placed, 'name' | 'aesKey' | 'hmacKey'> => ({
    name,
    aesKey,
    hmacKey
  })
  const list = [
    parts(placed),
    { ...parts(next), notBefore: now + HOUR },
    { ...parts(old), issueUntil: now - HOUR, acceptUntil: now + 2 * HOUR }
  ]
  const before = list.map(({ aesKey, hmacKey }) => Buffer.concat([aesKey, hmacKey]))
  const clock = new Clock()
  const keys = await startTicketKeys(
    resolveOptions({ environment: false, source: { type: 'static', keys: list } }),
    new LogCollector(),
    clock
  )
  t.teardown(async () => { await keys.close() })
  const states = (): Array<[string, string]> => keys.status().keys.map(({ id, state }) => [id, state])
  t.same(states(), [[idOf(placed), 'current'], [idOf(next), 'next'], [idOf(old), 'previous']])
  clock.step(HOUR + 1000)
  t.same(states(), [[idOf(placed), 'previous'], [idOf(next), 'current'], [idOf(old), 'previous']])
  clock.step(HOUR)
  t.same(states(), [[idOf(placed), 'previous'], [idOf(next), 'current']])
  t.equal(keys.status().stale, false)
  t.equal(await keys.reload(), 'unchanged')
  t.same(list.map(({ aesKey, hmacKey }) => Buffer.concat([aesKey, hmacKey])), before, "the caller's buffers are unchanged")
})
