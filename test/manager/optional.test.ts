import t from 'tap'
import type { TicketKeysStatus, TicketStats } from '../../lib/index.js'
import { serverCert } from '../helpers/certs.js'
import { connect, PROTOCOLS } from '../helpers/client.js'
import { runModule } from '../helpers/process.js'

/** What the server's process says of itself. */
interface Report {
  port: number
  warnings: string[]
  codes: string[]
  status: TicketKeysStatus
  stats: TicketStats
  secretIsLeft: boolean
  metrics: string
  /** what the source that stands in for the configured one loads */
  keysOfSource: unknown
  /** tlsSession() of a socket without TLS, and of one before its handshake */
  withoutHandshake: unknown[]
}

const { key, cert } = await serverCert()

/** A Fastify server whose process cannot load the addon. */
const SERVER = (options: string, prepare = ''): string => `
  ${prepare}
  const { default: ticketKeys, tlsSession } = await import('../../lib/index.js')
  const { resolveOptions } = await import('../../lib/config/options.js')
  const { Socket } = await import('node:net')
  const { TLSSocket } = await import('node:tls')
  const { default: Fastify } = await import('fastify')
  const warnings = []
  const stream = { write (line) { const { level, msg } = JSON.parse(line); if (level === 40) warnings.push(msg) } }
  const app = Fastify({ https: ${JSON.stringify({ key, cert })}, logger: { level: 'warn', stream } })
  await app.register(ticketKeys, ${options})
  app.get('/', async (request) => request.tlsSession)
  await app.listen({ port: 0, host: '127.0.0.1' })
  const codeOf = async (action) => { try { await action(); return 'nothing' } catch (error) { return error.code } }
  const keys = app.ticketKeys
  process.send({
    port: app.server.address().port, warnings, status: keys.status(), stats: keys.stats(),
    codes: [await codeOf(() => keys.rotate()), await codeOf(() => keys.reload()), await codeOf(() => keys.revokeSessions())],
    secretIsLeft: 'TICKET_KEYS_SECRET' in process.env, metrics: (await app.inject('/metrics')).body,
    keysOfSource: await resolveOptions({ optional: true, environment: false }).source.load(0),
    withoutHandshake: [tlsSession(new Socket()), tlsSession(new TLSSocket(new Socket()))]
  })
  process.once('message', async () => { await app.close(); process.disconnect() })
`

for (const [name, options, env, source] of [
  ['in code', '{ optional: true, environment: false }', {}, 'memory'],
  [
    'by environment, with a secret',
    '{}',
    { TICKET_KEYS_OPTIONAL: 'true', TICKET_KEYS_SECRET: 'Zm9ydHktZWlnaHQgcmFuZG9tIGJ5dGVzLCBvciBzby4uLi4u' },
    'secret'
  ],
  [
    'with a static source',
    "{ optional: true, environment: false, source: { type: 'static', keys: [Buffer.alloc(80)] } }",
    {},
    'static'
  ]
] as const) {
  t.test(`optional, ${name}: if the addon does not load, Node.js keeps the tickets and the server runs`, async (t) => {
    const module = runModule(SERVER(options), { execArgv: ['--no-addons'], env })
    t.teardown(module.stop)
    const { port, warnings, codes, status, stats, secretIsLeft, metrics, withoutHandshake, keysOfSource } =
      (await module.next()) as Report
    t.equal(warnings.length, 1)
    t.match(warnings[0], /not managed.*--allow-addons.*--no-addons/)
    t.match(status, { source, managed: false, stale: false, keys: [], current: null, servers: 0 })
    t.match(status.reason, 'FST_TICKET_KEYS_NOT_BUILT')
    t.notMatch(status.reason, '/')
    t.equal(stats.age.count, 0)
    t.strictSame(codes, Array(3).fill('FST_TICKET_KEYS_NOT_BUILT'))
    t.equal(secretIsLeft, false)
    t.strictSame(withoutHandshake, [null, null])
    t.equal(keysOfSource, null)

    for (const protocol of PROTOCOLS) {
      const first = await connect({ port, protocol })
      const second = await connect({ port, protocol, session: first.session })
      t.equal(second.reused, true)
      const rest = { protocol, serverName: null, keyId: null, issuedAt: null, authenticatedAt: null, data: null }
      t.strictSame(JSON.parse(first.body), { resumed: false, ...rest })
      t.strictSame(JSON.parse(second.body), { resumed: true, ...rest })
    }
    t.match(metrics, /^tls_ticket_keys_managed 0$/m)
    t.match(metrics, /^tls_ticket_resumed_total\{protocol="TLSv1.3"\} 0$/m)
    module.send('close')
    t.equal((await module.exit).code, 0)
  })
}

t.test('optional: on a runtime without OpenSSL 3, the runtime is the reason', async (t) => {
  const module = runModule(SERVER('{ optional: true, environment: false }',
    "Object.defineProperty(process, 'versions', { value: { ...process.versions, bun: '1.3.0' } })"))
  t.teardown(module.stop)
  const { status, warnings } = await module.next() as Report
  t.match(status.reason, 'FST_TICKET_KEYS_RUNTIME')
  t.match(warnings[0], /Bun does not have OpenSSL 3/)
})

t.test('optional makes no difference if the addon loads', async (t) => {
  const module = runModule(SERVER('{ optional: true, environment: false }'))
  t.teardown(module.stop)
  const { metrics, status, warnings } = await module.next() as Report
  t.match(status, { managed: true, reason: null, servers: 1 })
  t.notOk(warnings.some((warning) => warning.includes('not managed')))
  t.match(metrics, /^tls_ticket_keys_managed 1$/m)
})

t.test('without optional, the server does not start, and the error names the flags that help', async (t) => {
  const module = runModule(`
    const { default: ticketKeys, createTicketKeys, tlsSession } = await import('../../lib/index.js')
    const { default: Fastify } = await import('fastify')
    const errorOf = async (action) => { try { await action(); return {} } catch ({ code, message }) { return { code, message } } }
    process.send([
      await errorOf(() => Fastify({ https: {} }).register(ticketKeys, { environment: false })),
      await errorOf(() => createTicketKeys({ environment: false })),
    ])`, { execArgv: ['--no-addons'] })
  t.teardown(module.stop)
  const problem = { code: 'FST_TICKET_KEYS_NOT_BUILT', message: /--allow-addons/ }
  t.match(await module.next(), [problem, problem])
})
