import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import Fastify from 'fastify'
import { Counter, Registry } from 'prom-client'
import t, { type Test } from 'tap'
import ticketKeys, { createTicketKeys } from '../../lib/index.js'
import { metricsRegistry, registerMetrics } from '../../lib/metrics/register.js'
import { REASONS } from '../../lib/native/types.js'
import type { TicketKeysOptions } from '../../lib/config/options.js'
import type { SourceKeys } from '../../lib/sources/key-source.js'
import { Clock } from '../../lib/util/clock.js'
import { makeApp, startApp } from '../helpers/app.js'
import { connect, PROTOCOLS } from '../helpers/client.js'
import { randomKey } from '../helpers/keys.js'
import { LogCollector, manage } from '../helpers/managed.js'
import { parseMetrics, value } from '../helpers/metrics.js'
import { closeAll, plainHttps } from '../helpers/server.js'

const TEXT = 'text/plain; version=0.0.4; charset=utf-8'
const OPENMETRICS = 'application/openmetrics-text; version=1.0.0; charset=utf-8'

t.teardown(closeAll)

/** An app that was not asked to listen, with the plugin. */
async function makeWith (
  t: Test,
  options: TicketKeysOptions,
  before?: (app: Awaited<ReturnType<typeof makeApp>>['app']) => void
): ReturnType<typeof makeApp> {
  const made = await makeApp()
  t.teardown(() => made.app.close())
  before?.(made.app)
  await made.app.register(ticketKeys, { environment: false, ...options })
  return made
}

/** Every series of the design, except those with a key's id in them. */
function seriesOfDesign (source: string): string[] {
  const buckets = [1, 10, 60, 300, 900, 1800, 3600, 7200, 14400, 28800, 86400, 604800, '+Inf']
  return [
    ...PROTOCOLS.flatMap((protocol) => [
      `tls_ticket_issued_total{protocol="${protocol}"}`,
      `tls_ticket_renewed_total{protocol="${protocol}"}`,
      `tls_ticket_resumed_total{protocol="${protocol}"}`,
      ...REASONS.map((reason) => `tls_ticket_rejected_total{protocol="${protocol}",reason="${reason}"}`),
      ...['true', 'false'].map((resumed) => `tls_handshakes_total{protocol="${protocol}",resumed="${resumed}"}`)
    ]),
    ...buckets.map((le) => `tls_ticket_age_seconds_bucket{le="${le}"}`),
    'tls_ticket_age_seconds_sum',
    'tls_ticket_age_seconds_count',
    ...['next', 'current', 'previous'].map((state) => `tls_ticket_keys{state="${state}"}`),
    'tls_ticket_keys_managed',
    'tls_ticket_keys_stale',
    'tls_ticket_current_key_age_seconds',
    'tls_ticket_next_rotation_timestamp_seconds',
    'tls_ticket_key_rotations_total',
    ...['success', 'unchanged', 'error'].map((result) => `tls_ticket_key_reloads_total{result="${result}",source="${source}"}`),
    'tls_ticket_key_last_successful_reload_timestamp_seconds'
  ]
}

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
  const gauges = /^tls_ticket_(keys|key_info|current_key_age|next_rotation|key_last_successful)/
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
  t.same(await seen(), [1, 0])
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
    /tls_ticket_issued_total has already been registered/
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

t.test('the JSON route below the same path returns stats and status', async (t) => {
  const { app, port } = await startApp(t)
  const { session } = await connect({ port })
  await connect({ port, session })
  const { body, headers } = await app.inject('/metrics/ticket-keys')
  t.equal(headers['content-type'], 'application/json; charset=utf-8')
  const shown = JSON.parse(body) as unknown
  const { lastError, ...status } = app.ticketKeys.status()
  t.equal(lastError, null)
  t.strictSame(shown, JSON.parse(JSON.stringify({ stats: app.ticketKeys.stats(), status })))
  t.match(shown, { stats: { resumed: { 'TLSv1.3': 1 } }, status: { source: 'memory', keys: [{ state: 'current' }, {}, {}, {}] } })
})

/** Status codes of GETs. */
async function codes (app: { inject: (url: string) => Promise<{ statusCode: number }> }, ...urls: string[]): Promise<number[]> {
  const found = []
  for (const url of urls) found.push((await app.inject(url)).statusCode)
  return found
}

t.test('metrics: false adds no routes, and a path or an object moves them', async (t) => {
  const off = await makeWith(t, { metrics: false })
  t.same(await codes(off.app, '/metrics', '/metrics/ticket-keys'), [404, 404])
  for (const metrics of ['/internal/tls', '/internal/tls/', { path: '/internal/tls' }]) {
    const { app } = await makeWith(t, { metrics })
    const text = typeof metrics === 'string' ? metrics : metrics.path
    t.same(await codes(app, '/metrics', '/metrics/ticket-keys', text, '/internal/tls/ticket-keys'), [404, 404, 200, 200])
  }
})

t.test('metrics.instance adds the routes to another Fastify instance, such as one on an internal port', async (t) => {
  const instance = Fastify()
  t.teardown(() => instance.close())
  const { app } = await makeWith(t, { metrics: { instance } })
  t.same(await codes(app, '/metrics', '/metrics/ticket-keys'), [404, 404])
  t.same(await codes(instance, '/metrics', '/metrics/ticket-keys'), [200, 200])
  await app.close()
  t.same(await codes(instance, '/metrics', '/metrics/ticket-keys'), [200, 200], 'a scrape after close() does not crash')
})

t.test("metrics.register adds the series to the caller's registry, with one shared route", async (t) => {
  const register = new Registry()
  const own = new Counter({ name: 'my_total', help: 'mine', registers: [register] })
  own.inc(7)
  const { app, log } = await makeWith(t, { metrics: { register } }, (app) => {
    app.get('/metrics', async (_request, reply) => await reply.type(register.contentType).send(await register.metrics()))
  })
  const page = parseMetrics((await app.inject('/metrics')).body)
  t.equal(value(page, 'my_total'), 7)
  t.equal(value(page, 'tls_ticket_key_rotations_total'), 0)
  t.same(seriesOfDesign('memory').filter((series) => !page.has(series)), [])
  t.same(await codes(app, '/metrics/ticket-keys'), [404], 'the application may guard that route')
  t.same(log(), [], 'no warnings')
})

t.test("metrics.register adds no routes unless a path is given; such routes show only the package's metrics", async (t) => {
  const register = new Registry()
  const own = new Counter({ name: 'my_total', help: 'mine', registers: [register] })
  own.inc(7)
  const { app } = await makeWith(t, { metrics: { register } })
  t.same(await codes(app, '/metrics', '/metrics/ticket-keys'), [404, 404], 'the application may guard its own registry')

  const other = new Registry()
  other.registerMetric(own)
  const { app: withPath } = await makeWith(t, { metrics: { register: other, path: '/all' } })
  const { body } = await withPath.inject('/all')
  t.notMatch(body, 'my_total')
  const page = parseMetrics(body)
  t.same(seriesOfDesign('memory').filter((series) => !page.has(series)), [])
  t.same(await codes(withPath, '/all/ticket-keys'), [200])
})

t.test('no route shows the text of an error, which may contain a path or the address of a store', async (t) => {
  let broken = false
  const load = (): SourceKeys => {
    if (broken) throw new Error('redis://:password@store.internal is down')
    return { keys: [randomKey({ notBefore: 0, issueUntil: Infinity, acceptUntil: Infinity })], timed: true }
  }
  const { app } = await makeWith(t, { source: { type: 'store', load } })
  broken = true
  await t.rejects(app.ticketKeys.reload(), { message: /password/ })
  t.match(app.ticketKeys.status(), { lastError: /password/, lastErrorCode: /^FST_TICKET_KEYS_SOURCE$/ }, 'the program sees the text')
  for (const url of ['/metrics', '/metrics/ticket-keys']) t.notMatch((await app.inject(url)).body, /password|lastError"/)
  t.match((await app.inject('/metrics/ticket-keys')).json(), { status: { lastErrorCode: 'FST_TICKET_KEYS_SOURCE' } })
  broken = false
  await app.ticketKeys.reload()
  t.match(app.ticketKeys.status(), { lastError: null, lastErrorCode: null })
})

t.test('a registry that already has these metrics is an error at register, and the server is unchanged', async (t) => {
  const register = new Registry()
  await makeWith(t, { metrics: { register } })
  const { app } = await makeApp()
  t.teardown(() => app.close())
  await t.rejects(async () => await app.register(ticketKeys, { environment: false, metrics: { register } }), {
    message: /tls_ticket_issued_total/
  })
  t.equal(Object.hasOwn(app.server, 'addContext'), false)
})

t.test('metrics.routeOptions apply to both routes', async (t) => {
  const asked: string[] = []
  const { app } = await makeWith(t, {
    metrics: {
      routeOptions: {
        onRequest: async (request, reply) => {
          asked.push(request.url)
          if (request.headers.authorization !== 'Bearer x') await reply.code(401).send()
        }
      }
    }
  })
  t.same(await codes(app, '/metrics', '/metrics/ticket-keys'), [401, 401])
  t.same(asked, ['/metrics', '/metrics/ticket-keys'])
  t.equal((await app.inject({ url: '/metrics', headers: { authorization: 'Bearer x' } })).statusCode, 200)
})

t.test('if GET /metrics exists, the default adds no route and says how to share a registry', async (t) => {
  const { app, log } = await makeWith(t, {}, (app) => { app.get('/metrics', async () => 'mine') })
  t.equal((await app.inject('/metrics')).body, 'mine')
  t.equal((await app.inject('/metrics/ticket-keys')).statusCode, 404, 'the application may guard its route')
  t.match(log(), [/^warn: GET \/metrics exists already.*metrics\.register/])
  t.equal(log().length, 1)
})

t.test('an explicit path that already exists is an error', async (t) => {
  for (const metrics of ['/metrics', { path: '/metrics' }]) {
    await t.rejects(
      makeWith(t, { metrics }, (app) => {
        app.get('/metrics', async () => 'mine')
      }),
      { code: 'FST_ERR_DUPLICATED_ROUTE', message: /\/metrics/ }
    )
  }
})

t.test('in a scope with a prefix, only a route inside the scope conflicts', async (t) => {
  const { app, log } = await makeApp()
  t.teardown(() => app.close())
  app.get('/metrics', async () => 'outside')
  await app.register(async (scope) => {
    await scope.register(ticketKeys, { environment: false })
  }, { prefix: '/a' })
  t.equal((await app.inject('/metrics')).body, 'outside')
  t.match((await app.inject('/a/metrics')).body, /tls_ticket_issued_total/)
  t.same(log(), [])

  const second = await makeApp()
  t.teardown(() => second.app.close())
  await second.app.register(async (scope) => {
    scope.get('/metrics', async () => 'inside')
    await scope.register(ticketKeys, { environment: false })
  }, { prefix: '/a' })
  t.equal((await second.app.inject('/a/metrics')).body, 'inside')
  t.match(second.log(), [/exists already/])
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
