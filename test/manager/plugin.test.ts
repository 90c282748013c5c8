import { execFile } from 'node:child_process'
import type { Http2Session } from 'node:http2'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import ticketKeys, { createTicketKeys, fastifyTicketKeys, TicketKeys, tlsSession } from '../../lib/index.js'
import { fastifyLogCollector, makeApp, startApp } from '../helpers/app.js'
import { connect, connectH2, PROTOCOLS, ticketKeyName, type Exchange } from '../helpers/client.js'
import { manage } from '../helpers/managed.js'
import { until } from '../helpers/process.js'
import { closeAll, plainHttp2, plainHttps } from '../helpers/server.js'
import type { TlsSession } from '../../lib/tls/tls-session.js'

t.teardown(closeAll)

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

function sessionIn ({ body }: Exchange): TlsSession {
  return (JSON.parse(body) as { tlsSession: TlsSession }).tlsSession
}

const kinds = [
  { name: 'HTTP/1.1', options: {}, via: connect, client: {} },
  { name: 'HTTP/2', options: { http2: true }, via: connectH2, client: {} },
  {
    name: 'HTTP/1.1 at a server for both',
    options: { http2: true, https: { allowHTTP1: true } },
    via: connect,
    client: { alpn: ['http/1.1'] }
  }
]

for (const protocol of PROTOCOLS) {
  for (const { name, options, via, client } of kinds) {
    t.test(`${protocol}: request.tlsSession over ${name}`, async (t) => {
      const before = Date.now()
      const { app, port } = await startApp(t, {}, options)
      const first = await via({ port, protocol, servername: 'a.test', ...client })
      const opened = sessionIn(first)
      const { authenticatedAt: openedAt } = opened
      t.strictSame(opened, {
        resumed: false, protocol, serverName: 'a.test', keyId: null, issuedAt: null, authenticatedAt: openedAt, data: null
      })
      const authenticatedAt = opened.authenticatedAt as number
      t.ok(authenticatedAt >= before && authenticatedAt <= Date.now())

      const { current } = app.ticketKeys.status()
      await app.ticketKeys.rotate()
      const between = Date.now()
      const second = await via({ port, protocol, servername: 'a.test', ...client, session: first.session })
      const resumed = sessionIn(second)
      t.strictSame(resumed, {
        ...opened,
        resumed: true,
        keyId: current,
        issuedAt: resumed.issuedAt,
        authenticatedAt: resumed.authenticatedAt
      })
      // The ticket is made a moment before or after the handshake is said to be done.
      t.ok(Math.abs(resumed.authenticatedAt as number - authenticatedAt) < 1000)
      t.ok(Math.abs(resumed.issuedAt as number - authenticatedAt) < 1000)

      const third = await via({ port, protocol, servername: 'a.test', ...client, session: second.session })
      const again = sessionIn(third)
      t.equal(again.keyId, ticketKeyName(second.session as Buffer).toString('hex', 0, 4))
      t.equal(again.keyId, app.ticketKeys.status().current, 'the presented ticket is the renewed ticket')
      t.equal(again.authenticatedAt, resumed.authenticatedAt, 'all resumptions go back to one full handshake')
      t.ok(again.issuedAt as number >= between && again.issuedAt as number <= Date.now())
    })
  }

  t.test(`${protocol}: tlsSession(socket) works without Fastify, and returns null for an unmanaged socket`, async (t) => {
    const { keys } = await manage(t)
    const { server, port } = await plainHttps()
    const seen: Array<TlsSession | null> = []
    server.on('secureConnection', (socket) => seen.push(tlsSession(socket)))
    await connect({ port, protocol })
    keys.attach(server)
    const { session } = await connect({ port, protocol })
    await connect({ port, protocol, session })
    t.match(seen, [null, { resumed: false, protocol, keyId: null }, { resumed: true, protocol, keyId: keys.status().current }])
    t.equal(tlsSession(null), null)
    t.equal(tlsSession(undefined), null)
  })
}

t.test('the session of an ended HTTP/2 connection is null, without an error', async (t) => {
  const { keys } = await manage(t)
  const { server, port } = await plainHttp2()
  keys.attach(server)
  const sessions: Http2Session[] = []
  server.on('session', (session) => { sessions.push(session) })
  const sockets: Array<Http2Session['socket']> = []
  server.on('stream', ({ session }) => { sockets.push((session as Http2Session).socket) })
  const during: unknown[] = []
  server.on('stream', () => { during.push(tlsSession(sockets[0])) })
  await connectH2({ port })
  t.match(during, [{ resumed: false, protocol: 'TLSv1.3' }])
  await until(() => sessions.every(({ destroyed }) => destroyed))
  t.equal(tlsSession(sockets[0]), null)
})

t.test('decorators, routes and hooks of the plugin exist in every scope', async (t) => {
  const { app } = await startApp(t, {}, {
    before: (app) => {
      app.register(async (child) => {
        child.get('/child', async (request) => ({ same: child.ticketKeys === app.ticketKeys, tlsSession: request.tlsSession }))
      })
    }
  })
  t.ok(app.ticketKeys instanceof TicketKeys)
  t.ok(app.hasDecorator('ticketKeys') && app.hasRequestDecorator('tlsSession'))
  t.same((await app.inject('/child')).json(), { same: true, tlsSession: null }, 'light-my-request has no TLS')
  t.equal((await app.inject('/metrics')).statusCode, 200)
})

t.test('a second registration is an error, and the first one continues', async (t) => {
  const { app } = await makeApp()
  t.teardown(() => app.close())
  const options = { environment: false as const, metrics: false }
  await app.register(ticketKeys, options)
  const { ticketKeys: first, server } = app
  const { setSecureContext } = server
  await t.rejects(async () => await app.register(ticketKeys, options), { code: 'FST_TICKET_KEYS_OPTIONS', message: /registered already/ })
  t.equal(app.ticketKeys, first)
  t.equal(server.setSecureContext, setSecureContext)
  t.match(first.status(), { servers: 1, stale: false })
  await t.rejects(async () => await app.ready(), { code: 'FST_TICKET_KEYS_OPTIONS' }, 'Fastify does not start after an error in a plugin')
  await app.close()
  t.match(first.status(), { servers: 0, stale: true })
})

t.test('onClose closes the manager, whether or not the server has listened', async (t) => {
  for (const listening of [true, false]) {
    const { app } = await makeApp()
    await app.register(ticketKeys, { environment: false })
    await (listening ? app.listen({ port: 0, host: '127.0.0.1' }) : app.ready())
    const { ticketKeys: keys } = app
    t.match(keys.status(), { servers: 1, stale: false })
    await app.close()
    t.match(keys.status(), { servers: 0, keys: [], stale: true })
    await t.rejects(keys.rotate(), { code: 'FST_TICKET_KEYS_CLOSED' })
  }
})

t.test('register without TLS is an error, and closes the source', async (t) => {
  for (const http2 of [false, true]) {
    const app = (http2 ? Fastify({ http2: true }) : Fastify()) as FastifyInstance
    t.teardown(() => app.close())
    let closed = 0
    const source = { type: 'own', load: () => { throw new Error('not to be asked') }, close: () => { closed++ } }
    await t.rejects(async () => await app.register(ticketKeys, { environment: false, source }), {
      code: 'FST_TICKET_KEYS_NOT_TLS',
      message: /requireTls: false/
    })
    t.equal(closed, 1)
  }
})

t.test('with requireTls: false, a server without TLS runs without managed keys, and logs that', async (t) => {
  const { lines, options } = fastifyLogCollector()
  const app = Fastify({ logger: options })
  t.teardown(() => app.close())
  app.get('/', async ({ tlsSession }) => ({ tlsSession }))
  await app.register(ticketKeys, { environment: false, requireTls: false })
  const address = await app.listen({ port: 0, host: '127.0.0.1' })
  t.same(await (await fetch(address)).json(), { tlsSession: null })
  t.equal((await fetch(`${address}/metrics`)).status, 404)
  t.equal(app.hasDecorator('ticketKeys'), false)
  t.same(lines, ['warn: this Fastify server has no TLS: no session ticket keys are managed'])
})

t.test('a failed register leaves the server unchanged', async (t) => {
  const { app } = await makeApp()
  t.teardown(() => app.close())
  const { server } = app
  const [methods, listeners] = [Object.getOwnPropertyNames(server), server.listenerCount('secureConnection')]
  app.get('/internal', async () => 'mine')
  await t.rejects(async () => await app.register(ticketKeys, { environment: false, metrics: '/internal' }), {
    code: 'FST_ERR_DUPLICATED_ROUTE',
    message: /\/internal/
  })
  t.same(Object.getOwnPropertyNames(server), methods)
  t.equal(server.listenerCount('secureConnection'), listeners)
})

t.test('register rejects with the error of a source that fails at the start', async (t) => {
  const { app } = await makeApp()
  t.teardown(() => app.close())
  const problem = new Error('the store is down')
  let closed = 0
  const source = { type: 'own', load: async () => { throw problem }, close: () => { closed++ } }
  await t.rejects(async () => await app.register(ticketKeys, { environment: false, source }), problem)
  t.equal(closed, 1)
  t.equal(Object.hasOwn(app.server, 'setSecureContext'), false)
  t.equal(app.hasDecorator('ticketKeys'), false)
})

t.test("Fastify's own options of register are accepted, and unknown options are refused", async (t) => {
  const { app } = await makeApp()
  t.teardown(() => app.close())
  await app.register(async (scope) => {
    await scope.register(ticketKeys, { environment: false, prefix: '/x', logLevel: 'silent', logSerializers: {} })
    t.ok(scope.hasDecorator('ticketKeys'))
  }, { prefix: '/scope' })
  t.equal((await app.inject('/scope/metrics')).statusCode, 200, 'the routes are in the scope')
  t.equal(app.hasDecorator('ticketKeys'), false)
  const other = await makeApp()
  t.teardown(() => other.app.close())
  const options = { environment: false as const, rotation: '1h' }
  await t.rejects(async () => await other.app.register(ticketKeys, options), {
    code: 'FST_TICKET_KEYS_OPTIONS',
    message: /rotation is not an option/
  })
})

t.test('import and require give the plugin function and every named export', async (t) => {
  t.equal(fastifyTicketKeys, ticketKeys)
  t.equal(typeof createTicketKeys, 'function')
  const names = ['createTicketKeys', 'setTicketKeyCallback', 'tlsSession', 'TicketKeys', 'TicketStatus', 'fastifyTicketKeys', 'default']
  const code = `
    const required = require('fastify-ticket-keys')
    import('fastify-ticket-keys').then((imported) => {
      const names = ${JSON.stringify(names)}
      console.log(JSON.stringify({
        required: typeof required,
        imported: typeof imported.default,
        same: required === imported.default,
        properties: names.filter((name) => required[name] !== undefined && required[name] === imported[name])
      }))
    })
  `
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', code], {
    cwd: ROOT,
    env: { ...process.env, NODE_OPTIONS: undefined }
  })
  t.strictSame(JSON.parse(stdout), { required: 'function', imported: 'function', same: true, properties: names })
})

t.test("warnings about the environment go to the app's log", async (t) => {
  const { log } = await startApp(t, { environment: { data: { TICKET_KEYS_ROTATION: '1h' } } })
  t.match(log(), [/^warn: TICKET_KEYS_ROTATION is not a variable/])
})
