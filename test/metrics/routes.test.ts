import Fastify from 'fastify'
import { Counter, Registry } from 'prom-client'
import t from 'tap'
import ticketKeys from '../../lib/index.js'
import { createTicketKeys } from '../../lib/create.js'
import type { SourceKeys } from '../../lib/sources/key-source.js'
import { makeApp, startApp } from '../helpers/app.js'
import { connect } from '../helpers/client.js'
import { randomKey } from '../helpers/keys.js'
import { LogCollector } from '../helpers/managed.js'
import { parseMetrics, value } from '../helpers/metrics.js'
import { closeAll } from '../helpers/server.js'
import { makeWith, seriesOfDesign } from '../helpers/metrics-app.js'

t.teardown(closeAll)

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

t.test('a manager that closes takes its metrics out of the registry, and another manager can use the registry then', async (t) => {
  const register = new Registry()
  const options = { environment: false as const, log: new LogCollector(), metrics: { register } }
  const keys = await createTicketKeys(options)
  await t.rejects(createTicketKeys(options), {
    code: 'FST_TICKET_KEYS_OPTIONS',
    message: 'metrics.register has the metric tls_ticket_issued_total already: give each manager a separate registry'
  })
  t.match(await register.metrics(), 'tls_ticket_keys_stale 0')
  await keys.close()
  t.equal(await register.metrics(), '\n')
  const next = await createTicketKeys(options)
  t.teardown(() => next.close())
  t.match(await register.metrics(), 'tls_ticket_keys_stale 0')
  // A program that clears its registry at a reload closes the old manager last.
  register.clear()
  const third = await createTicketKeys(options)
  t.teardown(() => third.close())
  await next.close()
  t.match(await register.metrics(), 'tls_ticket_keys_stale 0')
})
