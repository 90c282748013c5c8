import { setImmediate as immediate, setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { Clock } from '../../lib/util/clock.js'
import { manage } from '../helpers/managed.js'
import { until } from '../helpers/process.js'
import { oneKey, ScriptedSource, StoppedClock } from '../helpers/scripted-source.js'

const HOUR = 3_600_000

t.test('a hundred changes during a load cause one more load', async (t) => {
  const source = new ScriptedSource(() => oneKey())
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
  const source = new ScriptedSource(() => oneKey())
  const { keys } = await manage(t, { source })
  source.answer = () => null
  source.changed()
  await until(() => source.loads === 2)
  t.equal(await keys.reload(), 'unchanged')
  t.same(keys.stats().reloads, { success: 0, unchanged: 1, error: 0 })
})

t.test('the source is asked again at refreshAt or after pollInterval, whichever comes first', async (t) => {
  const clock = new Clock()
  const source = new ScriptedSource(() => oneKey({ refreshAt: clock.now() + 2 * HOUR }), HOUR)
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
  const past = new ScriptedSource(() => oneKey({ refreshAt: 1 }))
  const silent = new ScriptedSource(() => oneKey({ refreshAt: Date.now() + 20 }))
  await Promise.all([manage(t, { source: past }), manage(t, { source: silent })])
  silent.answer = () => null
  await sleep(500)
  t.ok(past.loads >= 1 && past.loads <= 7, `${past.loads} loads in half a second`)
  t.equal(silent.loads, 2)
})

for (const how of ['at once', 'later'] as const) {
  t.test(`a source that fails ${how} when it is due is tried again after 1, 2, 4 … 60 s, and logged once`, async (t) => {
    const clock = new StoppedClock()
    const source = new ScriptedSource(() => oneKey({ refreshAt: clock.now() + HOUR }))
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
