import { setImmediate as immediate, setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import { Counter, Registry } from 'prom-client'
import t from 'tap'
import { createTicketKeys } from '../../lib/create.js'
import type { TicketKeys, TicketKeysEvents } from '../../lib/manager/ticket-keys.js'
import { plugin } from '../../lib/plugin.js'
import type { KeySource, SourceKeys } from '../../lib/sources/key-source.js'
import type { SourceKey } from '../../lib/keys/key.js'
import { serverCert } from '../helpers/certs.js'
import { randomKey } from '../helpers/keys.js'
import { manage } from '../helpers/managed.js'
import { until } from '../helpers/process.js'
import { oneKey, ScriptedSource, StoppedClock } from '../helpers/scripted-source.js'

const HOUR = 3_600_000

t.test('a load that ends after close() changes nothing', async (t) => {
  const source = new ScriptedSource(() => oneKey())
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
  const source = new ScriptedSource(() => oneKey())
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
  const source = new ScriptedSource(() => oneKey())
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
  const slow = Object.assign(new ScriptedSource(() => oneKey()), {
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
  const broken = Object.assign(new ScriptedSource(() => { throw new Error('down') }), { close: () => { throw new Error('not closed') } })
  await t.rejects(manage(t, { source: broken }), { message: 'down' })
  const stuck = (): KeySource => Object.assign(new ScriptedSource(oneKey), { close: () => { throw new Error('not closed') } })
  const register = new Registry()
  const taken = new Counter({ name: 'tls_ticket_issued_total', help: 'taken', registers: [register] })
  t.ok(taken)
  await t.rejects(createTicketKeys({ environment: false, source: stuck(), metrics: { register } }), { code: 'FST_TICKET_KEYS_OPTIONS' })
  const { key, cert } = await serverCert()
  const app = Fastify({ https: { key, cert } })
  app.get('/metrics', async () => 'mine')
  await t.rejects(
    async () => await app.register(plugin, { environment: false, source: stuck(), metrics: '/metrics' }),
    { code: 'FST_ERR_DUPLICATED_ROUTE' }
  )
  await app.close().catch(() => {})
})

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
    const source = new ScriptedSource(twoKeys)
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
