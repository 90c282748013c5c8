import { randomBytes } from 'node:crypto'
import { setImmediate as immediate, setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import { Counter, Registry } from 'prom-client'
import t from 'tap'
import { Clock } from '../../lib/util/clock.js'
import { createTicketKeys } from '../../lib/create.js'
import { startTicketKeys } from '../../lib/manager/start.js'
import type { TicketKeys, TicketKeysEvents } from '../../lib/manager/ticket-keys.js'
import { resolveOptions } from '../../lib/config/options.js'
import { plugin } from '../../lib/plugin.js'
import type { KeySource, SourceKeys } from '../../lib/sources/key-source.js'
import type { SourceKey } from '../../lib/keys/key.js'
import { serverCert } from '../helpers/certs.js'
import { idOf, randomKey } from '../helpers/keys.js'
import { LogCollector, manage } from '../helpers/managed.js'
import { until } from '../helpers/process.js'

const HOUR = 3_600_000

/** A source that gives what it is told to, and notes what it is asked. */
class Script implements KeySource {
  readonly type = 'script'
  pollInterval?: number
  loads = 0
  closed = 0
  changed: () => void = () => {}
  answer: () => SourceKeys | null | Promise<SourceKeys | null>

  constructor (answer: () => SourceKeys | null | Promise<SourceKeys | null>, pollInterval?: number) {
    this.answer = answer
    if (pollInterval !== undefined) this.pollInterval = pollInterval
  }

  load (): SourceKeys | null | Promise<SourceKeys | null> {
    this.loads++
    return this.answer()
  }

  watch (changed: () => void): void { this.changed = changed }
  close (): void { this.closed++ }
}

/** A clock that only goes on when it is told to. */
class StoppedClock extends Clock {
  #now: number

  constructor (now = Date.now()) {
    super()
    this.#now = now
  }

  override now (): number { return this.#now }

  override step (milliseconds: number): void {
    this.#now += milliseconds
    super.step(milliseconds)
  }
}

function oneKey (rest: Partial<SourceKeys> = {}): SourceKeys {
  return { keys: [randomKey({ notBefore: 0, issueUntil: Infinity, acceptUntil: Infinity })], timed: true, ...rest }
}

t.test('a hundred changes during a load cause one more load', async (t) => {
  const source = new Script(() => oneKey())
  const { keys } = await manage(t, { source })
  let finish = (): void => {}
  source.answer = async () => await new Promise((resolve) => { finish = () => { resolve(oneKey()) } })
  const reload = keys.reload()
  await until(() => source.loads === 2)
  for (let i = 0; i < 100; i++) source.changed()
  t.equal(source.loads, 2)
  source.answer = () => oneKey()
  finish()
  t.equal(await reload, 'success')
  await until(() => keys.stats().reloads.success === 2)
  await sleep(50)
  t.equal(source.loads, 3)
})

t.test('an unchanged load is not counted; a requested reload is', async (t) => {
  const source = new Script(() => oneKey())
  const { keys } = await manage(t, { source })
  source.answer = () => null
  source.changed()
  await until(() => source.loads === 2)
  t.equal(await keys.reload(), 'unchanged')
  t.same(keys.stats().reloads, { success: 0, unchanged: 1, error: 0 })
})

t.test('the source is asked again at refreshAt or after pollInterval, whichever comes first', async (t) => {
  const clock = new Clock()
  const source = new Script(() => oneKey({ refreshAt: clock.now() + 2 * HOUR }), HOUR)
  const { keys } = await manage(t, { source }, clock)
  const after = (ms: number): number => {
    clock.step(ms)
    keys.tick()
    return source.loads
  }
  t.equal(after(HOUR - 60_000), 1)
  source.answer = () => null
  t.equal(after(60_001), 2, 'after pollInterval')
  t.equal(after(HOUR - 60_000), 2)
  source.answer = () => oneKey({ refreshAt: clock.now() + 60_000 })
  t.equal(after(60_001), 3, 'both are due')
  t.equal(after(59_000), 3)
  t.equal(after(1001), 4, 'at refreshAt, which is earlier')
})

t.test('a source with a refreshAt in the past, or without new keys at refreshAt, is not asked in a tight loop', async (t) => {
  const past = new Script(() => oneKey({ refreshAt: 1 }))
  const silent = new Script(() => oneKey({ refreshAt: Date.now() + 20 }))
  await Promise.all([manage(t, { source: past }), manage(t, { source: silent })])
  silent.answer = () => null
  await sleep(500)
  t.ok(past.loads >= 1 && past.loads <= 7, `${past.loads} loads in half a second`)
  t.equal(silent.loads, 2)
})

t.test('a source without keys is an error: the manager does not start, or keeps its keys', async (t) => {
  const empty = new Script(() => ({ keys: [], timed: true }))
  await t.rejects(manage(t, { source: empty }), { code: 'FST_TICKET_KEYS_WEAK_KEY', message: "source 'script': holds no key" })
  t.equal(empty.closed, 1, 'the source is closed')
  await t.rejects(manage(t, { source: new Script(() => null) }), {
    code: 'FST_TICKET_KEYS_SOURCE',
    message: "ticket keys: source 'script' gave no keys, and there are none before"
  })
  const key = randomKey()
  const source = new Script(() => ({ keys: [{ ...key }], timed: false }))
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

t.test('a load that ends after close() changes nothing', async (t) => {
  const source = new Script(() => oneKey())
  const { keys, log } = await manage(t, { source })
  const answers: Array<() => void> = []
  const late = oneKey()
  source.answer = async () => await new Promise((resolve) => { answers.push(() => { resolve(late) }) })
  const first = keys.reload()
  const second = keys.reload().catch((error: unknown) => error)
  source.changed()
  await until(() => answers.length === 1)
  await keys.close()
  answers[0]?.()
  await first
  t.match(await second, { code: 'FST_TICKET_KEYS_CLOSED' })
  await sleep(50)
  t.equal(source.loads, 2)
  t.same(keys.status().keys, [])
  t.same(log.of('error'), [])
  for (const { aesKey, hmacKey } of late.keys) t.same([aesKey, hmacKey], [Buffer.alloc(32), Buffer.alloc(32)], 'erased')
})

t.test('a load that fails after close() is reported to nobody', async (t) => {
  const source = new Script(() => oneKey())
  const { keys, log } = await manage(t, { source })
  let fail = (): void => {}
  source.answer = async () => await new Promise((_resolve, reject) => { fail = () => { reject(new Error('down')) } })
  const reload = keys.reload()
  await keys.close()
  fail()
  await t.rejects(reload, { message: 'down' }, 'except to its caller')
  t.same(keys.stats().reloads, { success: 0, unchanged: 0, error: 0 })
  t.equal(keys.status().lastError, null)
  t.same(log.of('error'), [])
})

t.test('a rotation that was queued while the manager closed does not call the source', async (t) => {
  const source = new Script(() => oneKey())
  let rotated = 0
  const { keys } = await manage(t, { source: Object.assign(source, { rotate: () => { rotated++ } }) })
  let answer = (): void => {}
  source.answer = async () => await new Promise((resolve) => { answer = () => { resolve(null) } })
  const reload = keys.reload()
  const rotation = keys.rotate().catch((error: unknown) => error)
  await immediate()
  await keys.close()
  answer()
  await reload
  t.match(await rotation, { code: 'FST_TICKET_KEYS_CLOSED' })
  t.same([rotated, source.loads], [0, 2])
})

t.test('every close() resolves after the source has closed; an earlier error is reported before one of its close()', async (t) => {
  let letGo = (): void => {}
  const slow = Object.assign(new Script(() => oneKey()), {
    close: async () => {
      await new Promise<void>((resolve) => {
        letGo = resolve
      })
    }
  })
  const { keys } = await manage(t, { source: slow })
  let ended = 0
  const closings = [1, 2].map(async () => { await keys.close(); ended++ })
  await immediate()
  t.equal(ended, 0)
  letGo()
  await Promise.all(closings)
  const broken = Object.assign(new Script(() => { throw new Error('down') }), { close: () => { throw new Error('not closed') } })
  await t.rejects(manage(t, { source: broken }), { message: 'down' })
  const stuck = (): KeySource => Object.assign(new Script(oneKey), { close: () => { throw new Error('not closed') } })
  const register = new Registry()
  const taken = new Counter({ name: 'tls_ticket_issued_total', help: 'taken', registers: [register] })
  t.ok(taken)
  await t.rejects(createTicketKeys({ environment: false, source: stuck(), metrics: { register } }), { message: /already been registered/ })
  const { key, cert } = await serverCert()
  const app = Fastify({ https: { key, cert } })
  app.get('/metrics', async () => 'mine')
  await t.rejects(
    async () => await app.register(plugin, { environment: false, source: stuck(), metrics: '/metrics' }),
    { code: 'FST_ERR_DUPLICATED_ROUTE' }
  )
  await app.close().catch(() => {})
})

for (const how of ['at once', 'later'] as const) {
  t.test(`a source that fails ${how} when it is due is tried again after 1, 2, 4 … 60 s, and logged once`, async (t) => {
    const clock = new StoppedClock()
    const source = new Script(() => oneKey({ refreshAt: clock.now() + HOUR }))
    const { keys, log } = await manage(t, { source }, clock)
    const errors: string[] = []
    keys.on('reload-error', ({ message }) => { errors.push(message) })
    const fail = (): Promise<never> => {
      if (how === 'at once') throw new Error('down')
      return Promise.reject(new Error('down'))
    }
    const loadsAfter = async (ms: number): Promise<number> => {
      clock.step(ms)
      keys.tick()
      await immediate()
      return source.loads
    }
    source.answer = fail
    let loads = await loadsAfter(HOUR)
    t.equal(loads, 2)
    for (const wait of [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]) {
      t.equal(await loadsAfter(wait - 1), loads, `not before ${wait} ms`)
      t.equal(await loadsAfter(1), ++loads, `after ${wait} ms`)
    }
    t.same(errors, Array<string>(loads - 1).fill('down'))
    t.same(log.of('error'), ['down; the last good keys stay'])
    t.match(keys.status(), { stale: false, lastError: 'down' })

    source.answer = () => oneKey({ refreshAt: clock.now() + HOUR })
    t.equal(await loadsAfter(60_000), ++loads)
    t.match(keys.status(), { stale: false, lastError: null })
    source.answer = fail
    t.equal(await loadsAfter(HOUR), ++loads)
    t.equal(await loadsAfter(1000), ++loads, 'from the beginning')
  })
}

t.test('a listener may close the manager, which then does and emits nothing more', async (t) => {
  const begin = Date.now()
  const [middle, end] = [begin + HOUR, begin + 2 * HOUR]
  const given: SourceKey[] = []
  const twoKeys = (): SourceKeys => {
    const keys = [
      randomKey({ notBefore: begin, issueUntil: middle, acceptUntil: 2 * end }),
      randomKey({ notBefore: middle, issueUntil: end, acceptUntil: 2 * end })
    ]
    given.push(...keys)
    return { keys, timed: true, refreshAt: middle }
  }
  const fails = (): never => { throw new Error('down') }
  const look = (keys: TicketKeys): void => { keys.tick() }
  const cases: Array<{
    hours: number
    answer: () => SourceKeys | null
    act: (keys: TicketKeys) => unknown
    events: Array<keyof TicketKeysEvents>
    errors?: string[]
  }> = [
    { hours: 1, answer: () => null, act: look, events: ['rotation'] },
    { hours: 1, answer: twoKeys, act: (keys) => keys.reload(), events: ['rotation'] },
    { hours: 1, answer: twoKeys, act: look, events: ['rotation', 'reload'] },
    {
      hours: 1,
      answer: fails,
      act: look,
      events: ['rotation', 'reload-error'],
      errors: ['down; the last good keys stay']
    },
    {
      hours: 2,
      answer: () => null,
      act: look,
      events: ['stale'],
      errors: ['ticket keys are stale: no key may issue tickets now: full handshakes only, no new tickets']
    }
  ]
  for (const { hours, answer, act, events, errors = [] } of cases) {
    const clock = new StoppedClock(begin)
    const source = new Script(twoKeys)
    const { keys, log } = await manage(t, { source }, clock)
    const told: string[] = []
    for (const name of ['rotation', 'reload', 'reload-error', 'stale'] as const) keys.on(name, () => { told.push(name) })
    let closing: Promise<void> | undefined
    keys.once(events.at(-1) as keyof TicketKeysEvents, () => { closing = keys.close() })
    source.answer = answer
    clock.step(hours * HOUR)
    await act(keys)
    const { loads } = source
    clock.step(HOUR)
    t.same([keys.status().keys, source.loads], [[], loads])
    await closing
    t.same([told, log.of('error')], [events, errors])
  }
  for (const { aesKey, hmacKey } of given) t.same([aesKey, hmacKey], [Buffer.alloc(32), Buffer.alloc(32)], 'erased')
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
  const source = new Script(() => held)
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
  const source = new Script(oneKey)
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
