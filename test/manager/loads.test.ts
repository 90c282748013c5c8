import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { Log } from '../../lib/util/log.js'
import { createTicketKeys } from '../../lib/create.js'
import { serializeKeys } from '../../lib/keys/formats/index.js'
import { SOURCE_TIMEOUT_MS } from '../../lib/manager/load-keys.js'
import { FileSource } from '../../lib/sources/watched-files.js'
import type { KeySource, SourceKeys } from '../../lib/sources/key-source.js'
import { idOf, randomKey, writeKeys } from '../helpers/keys.js'
import { manage } from '../helpers/managed.js'
import { until } from '../helpers/process.js'
import { oneKey, ScriptedSource } from '../helpers/scripted-source.js'

const HOUR = 3_600_000

t.test('the same keys again are no change, and do not keep a list without times from becoming stale', async (t) => {
  const key = randomKey({ notBefore: 0, issueUntil: Infinity, acceptUntil: Infinity })
  const copy = (): SourceKeys => ({
    keys: [{ ...key, aesKey: Buffer.from(key.aesKey), hmacKey: Buffer.from(key.hmacKey) }], timed: false
  })
  const source = new ScriptedSource(copy)
  const { keys, clock } = await manage(t, { source, rotationInterval: HOUR })
  t.equal(await keys.reload(), 'unchanged')
  source.changed()
  await until(() => source.loads === 3)
  t.same(keys.stats().reloads, { success: 0, unchanged: 1, error: 0 }, 'only reload() counts')
  clock.step(2 * HOUR + 1)
  t.equal(await keys.reload(), 'unchanged')
  t.match(keys.status(), { stale: true, current: idOf(key) })
  // A key with the same name and other bytes is another key.
  const other = { ...randomKey(), name: key.name, notBefore: 0, issueUntil: Infinity, acceptUntil: Infinity }
  source.answer = () => ({ keys: [{ ...other, aesKey: Buffer.from(other.aesKey), hmacKey: Buffer.from(other.hmacKey) }], timed: false })
  t.equal(await keys.reload(), 'success')
  t.match(keys.status(), { stale: false, current: idOf(key) })
  t.equal(await keys.reload(), 'unchanged')
  const two = [randomKey(), randomKey()].map((key) => ({ ...key, notBefore: 0, issueUntil: Infinity, acceptUntil: Infinity }))
  const copies = (list: typeof two): SourceKeys => ({
    keys: list.map((key) => ({ ...key, aesKey: Buffer.from(key.aesKey), hmacKey: Buffer.from(key.hmacKey) })), timed: false
  })
  const results = []
  for (const list of [two, two, two.slice(0, 1), two, two.toReversed(), two.toReversed()]) {
    source.answer = () => copies(list)
    results.push(await keys.reload())
  }
  t.same(results, ['success', 'unchanged', 'success', 'success', 'success', 'unchanged'])
})

t.test('a load that gives only expired keys is an error, and the last good keys stay', async (t) => {
  const expired = (): SourceKeys => ({ keys: [randomKey({ notBefore: 0, issueUntil: 1, acceptUntil: 2 })], timed: true })
  await t.rejects(manage(t, { source: new ScriptedSource(expired) }), {
    code: 'FST_TICKET_KEYS_SOURCE', message: "source 'script' gave only keys that have expired (1)"
  })
  const source = new ScriptedSource(oneKey)
  const { keys } = await manage(t, { source })
  const { current } = keys.status()
  source.answer = expired
  await t.rejects(keys.reload(), { code: 'FST_TICKET_KEYS_SOURCE' })
  t.match(keys.status(), { current, lastErrorCode: 'FST_TICKET_KEYS_SOURCE', stale: false })
  // `null` means unchanged: the source still has the expired keys.
  source.answer = () => null
  await t.rejects(keys.reload(), { message: 'gave only keys that have expired' })
  t.same(keys.stats().reloads, { success: 0, unchanged: 0, error: 2 })
  source.answer = oneKey
  t.equal(await keys.reload(), 'success')
  t.equal(keys.status().lastError, null)
})

t.test('a file whose keys have all expired is an error until it has others', async (t) => {
  const path = join(t.testdir(), 'tickets.json')
  const good = randomKey()
  writeKeys(path, [good], 'json')
  const { keys } = await manage(t, { source: new FileSource(path, undefined, false, { pollInterval: 100 }) })
  writeFileSync(path, serializeKeys([randomKey({ notBefore: -Infinity, issueUntil: 1000, acceptUntil: 2000 })], 'json'))
  await until(() => keys.stats().reloads.error >= 3)
  t.match(keys.status(), { current: idOf(good), lastError: /only keys that have expired/ })
  const next = randomKey()
  writeKeys(path, [next], 'json')
  await until(() => keys.status().current === idOf(next))
  t.equal(keys.status().lastError, null)
})

t.test('a source that never answers fails after 10 s, and its keys are erased when they come later', async (t) => {
  const never = new Promise<never>(() => {})
  // The manager's timers do not keep a process alive.
  const alive = setInterval(() => {}, 1000)
  t.teardown(() => { clearInterval(alive) })
  const hanging = (rest: Partial<KeySource>): KeySource => ({ type: 'hanging', load: () => oneKey(), ...rest })
  const began = performance.now()
  const failsAt = async (work: Promise<unknown>, method: string): Promise<void> => {
    await t.rejects(work, { code: 'FST_TICKET_KEYS_SOURCE', message: `source 'hanging' did not answer within 10 s (${method})` })
    const after = performance.now() - began
    t.ok(after >= SOURCE_TIMEOUT_MS - 50 && after < 3 * SOURCE_TIMEOUT_MS, `${method} after ${Math.round(after)} ms`)
  }
  const late = oneKey()
  let deliver: (keys: SourceKeys) => void = () => {}
  let loads = 0
  const slow = hanging({ load: () => loads++ === 0 ? oneKey() : new Promise((resolve) => { deliver = resolve }) })
  const { keys } = await manage(t, { source: slow })
  let thens = 0
  const thenable = { then () { thens++ } } as unknown as Promise<void>
  const { keys: rotated } = await manage(t, { source: hanging({ rotate: () => thenable }) })
  const { current } = keys.status()
  await Promise.all([
    failsAt(manage(t, { source: hanging({ load: () => never }) }), 'load'),
    failsAt(manage(t, { source: hanging({ watch: () => never }) }), 'watch'),
    failsAt(rotated.rotate(), 'rotate'),
    failsAt(keys.reload(), 'load')
  ])
  deliver(late)
  await sleep(10)
  t.same(late.keys.map(({ aesKey }) => aesKey), [Buffer.alloc(32)], 'erased')
  t.equal(keys.status().current, current)
  // "As before" would mean the keys that came too late.
  slow.load = () => null
  await t.rejects(keys.reload(), { code: 'FST_TICKET_KEYS_SOURCE', message: "source 'hanging' gave keys too late" })
  slow.load = () => oneKey()
  t.equal(await keys.reload(), 'success', 'the next load is not blocked')
  t.equal(keys.status().lastError, null)
  t.equal(thens, 1, 'a thenable is asked once')
})

t.test('a logger with child() gets the error and its fields as an object, any other logger gets the message with the code', async (t) => {
  const lines: unknown[][] = []
  const write = (level: string) => (...args: unknown[]): void => { lines.push([level, ...args]) }
  const plain: Log = { info: write('info'), warn: write('warn'), error: write('error') }
  const structured = { ...plain, child: () => structured }
  // winston has child(), and takes the message first.
  const winston = { ...structured, transports: [] }
  for (const log of [plain, winston, structured]) {
    lines.length = 0
    const source = new ScriptedSource(oneKey)
    const keys = await createTicketKeys({ environment: false, source, log })
    t.teardown(() => keys.close())
    source.answer = () => { throw Object.assign(new Error('down'), { code: 'E_DOWN', command: ['SET', 'key material'] }) }
    await t.rejects(keys.reload())
    source.answer = () => { throw new Error('without a code') }
    await t.rejects(keys.reload())
    const errors = lines.filter(([level]) => level === 'error')
    t.match(errors, log !== structured
      ? [['error', 'down; the last good keys stay (E_DOWN)'], ['error', 'without a code; the last good keys stay']]
      : [
          ['error', { err: { code: 'E_DOWN' }, source: 'script' }, 'down; the last good keys stay'],
          ['error', { err: { message: 'without a code' } }, 'without a code; the last good keys stay']
        ])
    for (const [, fields] of errors) t.notMatch(Object.keys((fields as { err?: object }).err ?? {}), ['command'])
  }
})
