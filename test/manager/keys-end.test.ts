import t from 'tap'
import { createTicketKeys } from '../../lib/create.js'
import { metricsRegistry } from '../../lib/metrics/register.js'
import type { TicketKey } from '../../lib/keys/key.js'
import { timesFrom } from '../../lib/keys/timetable.js'
import type { SourceKeys } from '../../lib/sources/key-source.js'
import { makeApp } from '../helpers/app.js'
import { idOf, randomKey } from '../helpers/keys.js'
import { LogCollector, manage } from '../helpers/managed.js'
import { parseMetrics, value } from '../helpers/metrics.js'
import { oneKey, StoppedClock } from '../helpers/scripted-source.js'
import ticketKeys from '../../lib/index.js'

const HOUR = 3_600_000
const END = 'tls_ticket_keys_end_timestamp_seconds'
const INTERVAL = 'tls_ticket_key_rotation_interval_seconds'

const page = async (keys: Parameters<typeof metricsRegistry>[0]) => parseMetrics(await metricsRegistry(keys, 'text').metrics())
/** What a key file holds after `rotate`: keys that issue for one hour each. */
const hourly = (from: number, count: number): SourceKeys => ({
  keys: Array.from({ length: count }, (_, index) => randomKey(timesFrom(from + index * HOUR, HOUR, 2 * HOUR))), timed: true
})

t.test('when the job that rotates a key file dies, a warning says in time when the keys end', async (t) => {
  const clock = new StoppedClock()
  const start = clock.now()
  let count = 4
  const source = { type: 'file', load: () => hourly(start, count) }
  const { keys, log } = await manage(t, { source, rotationInterval: '1h' }, clock)
  const end = start + 4 * HOUR
  t.equal(keys.status().keysEnd, end)
  t.equal(value(await page(keys), END), end / 1000)
  t.equal(value(await page(keys), INTERVAL), 3600)

  clock.step(2 * HOUR)
  keys.tick()
  t.same(log.of('warn'), [], 'two intervals before the end')
  clock.step(1)
  keys.tick()
  keys.tick()
  t.same(log.of('warn'), [
    `the ticket keys end at ${new Date(end).toISOString()}, and the source 'file' has no newer keys: check what makes them`
  ])

  count = 6
  await keys.reload()
  t.equal(keys.status().keysEnd, start + 6 * HOUR)
  t.equal(log.of('warn').length, 1, 'new keys end the warning')
  clock.step(2 * HOUR)
  keys.tick()
  t.equal(log.of('warn').length, 2, 'and it comes again when those keys are about to end')

  clock.step(5 * HOUR)
  keys.tick()
  t.equal(keys.status().keysEnd, start + 6 * HOUR, 'the end stays visible after it has passed')
  t.match(keys.status(), { stale: true, current: null })
  t.equal(log.of('warn').length, 2)
})

t.test('the end is absent if nobody else has to make keys, or if the keys have no end', async (t) => {
  for (const source of [
    { type: 'memory' } as const,
    { type: 'secret', secret: randomKey().aesKey } as const,
    { type: 'static', keys: [randomKey()] } as const,
    { type: 'list', load: () => ({ ...hourly(Date.now(), 4), timed: false }) },
    { type: 'store', load: () => oneKey() }
  ]) {
    const { keys } = await manage(t, { source })
    t.equal(keys.status().keysEnd, null, source.type)
    t.equal((await page(keys)).has(END), false, source.type)
    t.equal(value(await page(keys), INTERVAL), 3600)
  }
})

t.test('a source can say how long its keys issue', async (t) => {
  const clock = new StoppedClock()
  const load = () => ({ keys: [randomKey(timesFrom(clock.now(), 60_000, HOUR))], timed: true, rotationInterval: 20_000 })
  const { keys, log } = await manage(t, { source: { type: 'store', load } }, clock)
  t.equal(value(await page(keys), INTERVAL), 20)
  keys.tick()
  t.same(log.of('warn'), [], 'the end is three intervals away')
  clock.step(20_001)
  keys.tick()
  t.match(log.of('warn'), [/^the ticket keys end at /])
  for (const rotationInterval of [0, NaN, 'x' as unknown as number]) {
    await t.rejects(manage(t, { source: { type: 'store', load: () => ({ ...load(), rotationInterval }) } }),
      { code: 'FST_TICKET_KEYS_SOURCE', message: /a rotationInterval that is not a positive number/ })
  }
})

t.test('one line at the start shows the source, the keys, the times, the servers and where the metrics are', async (t) => {
  const given = hourly(Date.now() - 1, 4)
  const current = idOf(given.keys[0] as TicketKey)
  const log = new LogCollector()
  const source = { type: 'file', load: () => given }
  const keys = await createTicketKeys({ environment: false, source, log })
  t.teardown(() => keys.close())
  const { memoryLocked, keysEnd, nextRotation } = keys.status()
  const time = (ms: number | null): string => new Date(ms as number).toISOString()
  t.same(log.of('info'), [
    `session ticket keys are ready: source 'file', 4 keys, current key ${current}, ` +
    `next rotation ${time(nextRotation)}, keys end ${time(keysEnd)}, 0 servers, ` +
    `${memoryLocked ? 'memory locked' : 'memory not locked'}, metrics: none`
  ])
})

t.test('the line at the start says if the metrics are public', async (t) => {
  const cases = [
    [{}, /1 server, .*metrics: GET \/metrics \(public: anyone who can reach this server can read them, unless a hook refuses\)$/],
    [{ metrics: { path: '/m', routeOptions: { onRequest: async () => {} } } }, /metrics: GET \/m \(guarded by routeOptions\)$/],
    [{ metrics: { routeOptions: { logLevel: 'silent' } } }, /\(public/],
    [{ metrics: { routeOptions: { preHandler: async () => {} } } }, /\(guarded/],
    [{ metrics: { instance: (await makeApp()).app } }, /metrics: GET \/metrics of another Fastify instance$/],
    [
      { metrics: false, source: { type: 'static', keys: [randomKey()] } },
      /1 key, current key \w+, no rotation known, 1 server, .*metrics: none$/
    ]
  ] as const
  for (const [options, expected] of cases) {
    const { app } = await makeApp()
    const lines: string[] = []
    t.intercept(app.log, 'info', { value: (_fields: object, message: string) => { lines.push(message) } })
    await app.register(ticketKeys, { environment: false, ...options } as Parameters<typeof ticketKeys>[1])
    await app.close()
    t.match(lines.filter((line) => line.startsWith('session ticket keys')), [expected])
    t.equal(lines.filter((line) => line.startsWith('session ticket keys')).length, 1)
  }
})

t.test('without a current key, the line says so', async (t) => {
  const log = new LogCollector()
  const load = () => ({ keys: [randomKey(timesFrom(Date.now() + HOUR, HOUR, HOUR))], timed: true })
  const keys = await createTicketKeys({ environment: false, source: { type: 'store', load }, log })
  t.teardown(() => keys.close())
  t.match(log.of('info'), [/1 key, no current key, next rotation /])
})
