import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { Clock } from '../lib/clock.js'
import { startTicketKeys } from '../lib/manager.js'
import { resolveOptions } from '../lib/options.js'
import type { KeySource, SourceKeys } from '../lib/sources/source.js'
import { idOf, randomKey } from './helpers/keys.js'
import { LogBook, manage } from './helpers/managed.js'
import { until } from './helpers/process.js'

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

function oneKey (rest: Partial<SourceKeys> = {}): SourceKeys {
  return { keys: [randomKey({ notBefore: 0, issueUntil: Infinity, acceptUntil: Infinity })], timed: true, ...rest }
}

t.test('a hundred changes while a load is under way are one more load', async (t) => {
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

t.test('a change that was none is not counted; a reload that was asked for is', async (t) => {
  const source = new Script(() => oneKey())
  const { keys } = await manage(t, { source })
  source.answer = () => null
  source.changed()
  await until(() => source.loads === 2)
  t.equal(await keys.reload(), 'unchanged')
  t.same(keys.stats().reloads, { success: 0, unchanged: 1, error: 0 })
})

t.test('it is asked again at refreshAt or after pollInterval, whichever comes first', async (t) => {
  const clock = new Clock()
  const source = new Script(() => oneKey({ refreshAt: clock.now() + 2 * HOUR }), HOUR)
  const { keys } = await manage(t, { source }, clock)
  const after = (ms: number): number => {
    clock.step(ms)
    keys.status()
    return source.loads
  }
  t.equal(after(HOUR - 60_000), 1)
  source.answer = () => null
  t.equal(after(60_001), 2, 'the poll')
  t.equal(after(HOUR - 60_000), 2)
  source.answer = () => oneKey({ refreshAt: clock.now() + 60_000 })
  t.equal(after(60_001), 3, 'both')
  t.equal(after(59_000), 3)
  t.equal(after(1001), 4, 'refreshAt, which is sooner')
})

t.test('a source that wants to be asked in the past, or has nothing to say when it wanted to be asked, is not asked without end', async (t) => {
  const past = new Script(() => oneKey({ refreshAt: 1 }))
  const silent = new Script(() => oneKey({ refreshAt: Date.now() + 20 }))
  await Promise.all([manage(t, { source: past }), manage(t, { source: silent })])
  silent.answer = () => null
  await sleep(500)
  t.ok(past.loads >= 1 && past.loads <= 7, `${past.loads} loads in half a second`)
  t.equal(silent.loads, 2)
})

t.test('no keys are an error: the manager does not start, or keeps those it has', async (t) => {
  const empty = new Script(() => ({ keys: [], timed: true }))
  await t.rejects(manage(t, { source: empty }), { code: 'FST_TICKET_KEYS_WEAK_KEY', message: "source 'script': holds no key" })
  t.equal(empty.closed, 1, 'it is closed')
  const key = randomKey()
  const source = new Script(() => ({ keys: [{ ...key }], timed: false }))
  const { keys, log } = await manage(t, { source })
  for (const wrong of [[], [randomKey(undefined, 16), { ...key, name: Buffer.alloc(15, 1) }], [key, key], [{ name: Buffer.alloc(16, 7), notBefore: 0, issueUntil: 1, acceptUntil: Infinity }]]) {
    source.answer = () => ({ keys: wrong, timed: false })
    await t.rejects(keys.reload(), { code: 'FST_TICKET_KEYS_WEAK_KEY' })
    t.equal(keys.status().current, idOf(key))
  }
  source.answer = () => { throw new Error('down') }
  for (let i = 0; i < 3; i++) await t.rejects(keys.reload(), { message: 'down' })
  t.same(log.of('error').filter((message) => message.startsWith('down')), ['down; the last good keys stay'])
  t.match(keys.stats().reloads, { success: 0, error: 7 })
  await keys.close()
  t.equal(source.closed, 1)
})

t.test('a load that ends after the manager was closed changes nothing', async (t) => {
  const source = new Script(() => oneKey())
  const { keys, log } = await manage(t, { source })
  const answers: Array<() => void> = []
  source.answer = async () => await new Promise((resolve) => { answers.push(() => { resolve(oneKey()) }) })
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
})

t.test('what is not a key source is refused', async (t) => {
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
    [{ type: 'secret', secret: 'x'.repeat(31) + 'y', previousSecrets: ['y', 1] }, 'source.previousSecrets[0] must have at least 32 bytes, a line end at its end not counted; source.previousSecrets[1] must be'],
    [{ type: 'static', keys: [] }, 'source.keys must be an array of'],
    [{ type: 'static', keys: [Buffer.alloc(79)] }, 'source.keys[0] must have 80 bytes'],
    [{ type: 'static', keys: [{ ...randomKey(), issueUntil: 5, acceptUntil: 4 }] }, 'source.keys[0] must have notBefore, issueUntil, acceptUntil in that order']
  ]
  for (const [source, message] of wrong) {
    t.throws(() => resolveOptions({ environment: false, source: source as KeySource }), { code: 'FST_TICKET_KEYS_OPTIONS', message: `ticket keys: ${message}` })
  }
})

t.test('static keys with times keep to them, the others to their place', async (t) => {
  const now = Date.now()
  const [placed, next, old] = [randomKey(), randomKey(), randomKey()]
  const parts = ({ name, aesKey, hmacKey }: typeof placed): Pick<typeof placed, 'name' | 'aesKey' | 'hmacKey'> => ({ name, aesKey, hmacKey })
  const list = [parts(placed), { ...parts(next), notBefore: now + HOUR }, { ...parts(old), issueUntil: now - HOUR, acceptUntil: now + 2 * HOUR }]
  const before = list.map(({ aesKey, hmacKey }) => Buffer.concat([aesKey, hmacKey]))
  const clock = new Clock()
  const keys = await startTicketKeys(resolveOptions({ environment: false, source: { type: 'static', keys: list } }), new LogBook(), clock)
  t.teardown(async () => { await keys.close() })
  const states = (): Array<[string, string]> => keys.status().keys.map(({ id, state }) => [id, state])
  t.same(states(), [[idOf(placed), 'current'], [idOf(next), 'next'], [idOf(old), 'previous']])
  clock.step(HOUR + 1000)
  t.same(states(), [[idOf(placed), 'previous'], [idOf(next), 'current'], [idOf(old), 'previous']])
  clock.step(HOUR)
  t.same(states(), [[idOf(placed), 'previous'], [idOf(next), 'current']])
  t.equal(keys.status().stale, false)
  t.equal(await keys.reload(), 'unchanged')
  t.same(list.map(({ aesKey, hmacKey }) => Buffer.concat([aesKey, hmacKey])), before, "the caller's buffers are left alone")
})
