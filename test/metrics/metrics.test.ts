import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { Registry } from 'prom-client'
import t from 'tap'
import { createTicketKeys } from '../../lib/index.js'
import { metricsRegistry, registerMetrics } from '../../lib/metrics/register.js'
import type { SourceKeys } from '../../lib/sources/key-source.js'
import { Clock } from '../../lib/util/clock.js'
import { startApp } from '../helpers/app.js'
import { connect } from '../helpers/client.js'
import { randomKey } from '../helpers/keys.js'
import { LogCollector, manage } from '../helpers/managed.js'
import { parseMetrics, value } from '../helpers/metrics.js'
import { closeAll, plainHttps } from '../helpers/server.js'
import { makeWith, seriesOfDesign } from '../helpers/metrics-app.js'

const TEXT = 'text/plain; version=0.0.4; charset=utf-8'

const OPENMETRICS = 'application/openmetrics-text; version=1.0.0; charset=utf-8'

t.teardown(closeAll)

t.test('the first scrape has every series of the design, with counters at 0, and no other series', async (t) => {
  const before = Date.now() / 1000
  const { app } = await makeWith(t, {})
  const { body, headers, statusCode } = await app.inject('/metrics')
  t.equal(statusCode, 200)
  t.equal(headers['content-type'], TEXT)
  const page = parseMetrics(body)
  const { keys, nextRotation } = app.ticketKeys.status()
  const info = keys.map(({ id, state }) => `tls_ticket_key_info{key_id="${id}",state="${state}"}`)
  t.strictSame([...page.keys()].sort(), [...seriesOfDesign('memory'), ...info].sort())
  const gauges = /^tls_ticket_(keys|key_info|current_key_age|next_rotation|key_last_successful|key_rotation_interval)/
  t.strictSame([...page].filter(([name, value]) => !gauges.test(name) && value !== 0), [])
  for (const series of info) t.equal(page.get(series), 1)
  t.same(['next', 'current', 'previous'].map((state) => value(page, 'tls_ticket_keys', { state })), [3, 1, 0])
  t.equal(value(page, 'tls_ticket_next_rotation_timestamp_seconds'), (nextRotation as number) / 1000)
  const age = value(page, 'tls_ticket_current_key_age_seconds')
  t.ok(age >= 0 && age <= Date.now() / 1000 - before)
  const reload = value(page, 'tls_ticket_key_last_successful_reload_timestamp_seconds')
  t.ok(reload >= before && reload <= Date.now() / 1000)
})

t.test('a metric without a value has no series: a list of keys has no time of change', async (t) => {
  const { app } = await makeWith(t, { source: { type: 'static', keys: [randomBytes(80), randomBytes(80)] } })
  const page = parseMetrics((await app.inject('/metrics')).body)
  t.same(seriesOfDesign('static').filter((series) => !page.has(series)), ['tls_ticket_next_rotation_timestamp_seconds'])
  t.same(['next', 'current', 'previous'].map((state) => value(page, 'tls_ticket_keys', { state })), [0, 1, 1])
})

t.test('stale keys set a metric, whether or not they still issue', async (t) => {
  const { keys, clock } = await manage(t, { source: { type: 'static', keys: [randomBytes(80)] }, rotationInterval: '1h' })
  const register = new Registry()
  registerMetrics(keys, register)
  const seen = async (): Promise<number[]> => {
    const page = parseMetrics(await register.metrics())
    return [value(page, 'tls_ticket_keys_stale'), value(page, 'tls_ticket_keys', { state: 'current' })]
  }
  t.same(await seen(), [0, 1])
  clock.step(2 * 3_600_000 + 1)
  t.same(await seen(), [1, 1])
  await keys.close()
  t.equal(await register.metrics(), '\n', 'a closed manager has no metrics')
})

t.test('without Fastify, the metrics go only into the given registry', async (t) => {
  const log = new LogCollector()
  const register = new Registry()
  const keys = await createTicketKeys({ environment: false, log, metrics: { register } })
  t.teardown(() => keys.close())
  const { server, port } = await plainHttps()
  keys.attach(server)
  await connect({ port })
  t.equal(value(parseMetrics(await register.metrics()), 'tls_handshakes_total', { protocol: 'TLSv1.3', resumed: 'false' }), 1)
  t.same(log.of('warn'), [])
  await t.rejects(
    createTicketKeys({ environment: false, log, metrics: { register } }),
    { code: 'FST_TICKET_KEYS_OPTIONS', message: 'metrics.register has the metric tls_ticket_issued_total already' }
  )
  const other = await createTicketKeys({ environment: false, log, metrics: '/metrics' })
  await other.close()
  t.same(log.of('warn'), ["metrics has no effect here but for metrics.register: routes are the Fastify plugin's"])
})

t.test('promtool check metrics accepts the page, before and after the first events', async (t) => {
  const { app, port } = await startApp(t)
  for (const rotated of [false, true]) {
    const { body } = await connect({ port, request: '/metrics' })
    const { error, status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input: body, encoding: 'utf8' })
    if (error !== undefined) throw new Error('promtool could not be run: it is in the Debian package prometheus', { cause: error })
    t.strictSame({ status, stdout, stderr }, { status: 0, stdout: '', stderr: '' }, rotated ? 'after' : 'before')
    const { session } = await connect({ port })
    await connect({ port, session })
    await app.ticketKeys.rotate()
  }
})

t.test('the content type is negotiated', async (t) => {
  const { app } = await makeWith(t, {})
  const prometheus2 = [
    'application/openmetrics-text;version=1.0.0;q=0.5',
    'application/openmetrics-text;version=0.0.1;q=0.4',
    'text/plain;version=0.0.4;q=0.3',
    '*/*;q=0.2'
  ].join()
  const prometheus3 = [
    'application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5',
    'application/openmetrics-text;version=0.0.1;q=0.4',
    'text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3',
    'text/plain;version=0.0.4;q=0.2',
    '*/*;q=0.1'
  ].join()
  const wanted: Array<[string | undefined, string]> = [
    [undefined, TEXT],
    ['*/*', TEXT],
    ['text/html,application/xhtml+xml,*/*;q=0.8', TEXT],
    ['text/plain', TEXT],
    ['text/plain;version=0.0.4', TEXT],
    ['image/png', TEXT],
    ['application/openmetrics-text;q=0.1, text/plain', TEXT],
    ['application/openmetrics-text;version=0.0.1', TEXT],
    ['application/openmetrics-text', OPENMETRICS],
    ['application/openmetrics-text; version=1.0.0; charset=utf-8', OPENMETRICS],
    ['text/plain;q=0.3, application/openmetrics-text;version=1.0.0', OPENMETRICS],
    [prometheus2, OPENMETRICS],
    [prometheus3, OPENMETRICS]
  ]
  for (const [accept, type] of wanted) {
    const { headers, body } = await app.inject({ url: '/metrics', headers: accept === undefined ? {} : { accept } })
    t.equal(headers['content-type'], type, accept ?? 'no Accept')
    t.equal(headers.vary, 'accept')
    t.equal(body.endsWith('# EOF\n'), type === OPENMETRICS)
  }
})

t.test('OpenMetrics has the same numbers', async (t) => {
  const { app, port } = await startApp(t)
  const { session } = await connect({ port })
  await connect({ port, session })
  const pages = []
  for (const accept of ['text/plain', 'application/openmetrics-text']) {
    const page = parseMetrics((await app.inject({ url: '/metrics', headers: { accept } })).body)
    page.delete('tls_ticket_current_key_age_seconds')
    pages.push(Object.fromEntries([...page].sort()))
  }
  t.strictSame(pages[1], pages[0])
  t.match(pages[0], { 'tls_ticket_resumed_total{protocol="TLSv1.3"}': 1, tls_ticket_age_seconds_count: 1 })
})

t.test('status(), stats() and a scrape have no side effects: a due source is not asked, and no event is emitted', async (t) => {
  const clock = new Clock()
  const hour = 3_600_000
  let loads = 0
  const load = (): SourceKeys => {
    loads++
    const [now, later] = [0, clock.now() + hour].map((notBefore) => ({ notBefore, issueUntil: Infinity, acceptUntil: Infinity }))
    return { keys: [randomKey(now), randomKey(later)], timed: true, refreshAt: clock.now() + hour }
  }
  const { keys, log } = await manage(t, { source: { type: 'store', load } }, clock)
  const registries = [metricsRegistry(keys, 'text'), metricsRegistry(keys, 'openmetrics')]
  const events: string[] = []
  for (const name of ['rotation', 'reload', 'reload-error', 'stale'] as const) keys.on(name, () => { events.push(name) })
  const timers = t.capture(globalThis, 'setTimeout', setTimeout)
  clock.step(2 * hour)
  t.match(keys.status(), { current: keys.status().keys[1]?.id, stale: false })
  t.equal(keys.stats().rotations, 1, 'the effect of the clock is shown')
  for (const registry of registries) {
    t.equal(value(parseMetrics(await registry.metrics()), 'tls_ticket_key_rotations_total'), 1)
    await registry.getMetricsAsJSON()
  }
  t.same({ loads, events, logged: log.of('info').length, timers: timers().length }, { loads: 1, events: [], logged: 0, timers: 0 })
  keys.tick()
  t.same({ loads, events }, { loads: 2, events: ['rotation', 'reload', 'rotation'] }, 'the timer does the work')
})

t.test('a scrape takes one snapshot, so its metrics are of one moment', async (t) => {
  const { keys } = await manage(t)
  const registry = metricsRegistry(keys, 'text')
  const [stats, status] = [t.capture(keys, 'stats', keys.stats), t.capture(keys, 'status', keys.status)]
  for (let scrapes = 1; scrapes <= 2; scrapes++) {
    await registry.metrics()
    t.same([stats().length, status().length], [1, 1])
  }
  registry.resetMetrics()
  t.match(await registry.metrics(), /^tls_handshakes_total\{protocol="TLSv1.2",resumed="true"\} 0$/m, 'a reset does nothing')
})
