import { constants, X509Certificate } from 'node:crypto'
import t from 'tap'
import { makeCa, serverCert } from './certs.js'
import {
  connect, ConnectError, connectH2, externalPsk, flipBit, hangUp, PROTOCOLS, pskServerOptions, relay, ReusingClient,
  sessionTicket, sessionTime, sessionTimeout, SingleUseClient, ticketKeyName, ticketLifetimeHint, withTicket
} from './client.js'
import { changes, difference, parseMetrics, value } from './metrics.js'
import { runModule, until } from './process.js'
import { cacheSessions, closeAll, plainHttp2, plainHttps, plainTls } from './server.js'

t.teardown(closeAll)

const kinds = [
  { name: 'https', start: plainHttps, via: connect },
  { name: 'tls', start: plainTls, via: connect },
  { name: 'http2', start: plainHttp2, via: connectH2 }
]

for (const { name, start, via } of kinds) {
  t.test(`${name}: over TLS 1.3, a client that uses each ticket once resumes two connections of three`, async (t) => {
    const { port, handshakes } = await start()
    const client = new SingleUseClient({ port, protocol: 'TLSv1.3' }, via)
    const answers = []
    for (let i = 0; i < 30; i++) answers.push((await client.connect()).body)
    t.match(client, { full: 10, resumed: 20, failed: 0 })
    t.same(answers, handshakes.map(({ reused }) => `reused=${reused}`))
    t.equal(handshakes.filter(({ reused }) => reused).length, 20)
  })

  t.test(`${name}: over TLS 1.2, a client that reuses its ticket resumes all connections but the first`, async (t) => {
    const { port, handshakes } = await start()
    const client = new ReusingClient({ port, protocol: 'TLSv1.2' }, via)
    for (let i = 0; i < 10; i++) await client.connect()
    t.match(client, { full: 1, resumed: 9, failed: 0 })
    t.same(handshakes.map(({ reused }) => reused), [false, ...Array<boolean>(9).fill(true)])
  })
}

for (const protocol of PROTOCOLS) {
  t.test(`${protocol}: client and server report the same about a connection`, async (t) => {
    const { port, handshakes } = await plainHttps()
    const exchange = await connect({ port, protocol, servername: 'a.test' })
    t.match(exchange, { reused: false, protocol, authorized: true, alpn: false, status: 200, body: 'reused=false' })
    t.equal(exchange.fingerprint, new X509Certificate((await serverCert()).cert).fingerprint256)
    t.match(handshakes, [{ reused: false, protocol, authorized: false, servername: 'a.test' }])
    t.same(exchange.finished, handshakes[0]?.finished)
  })

  t.test(`${protocol}: the parts of a session can be read and changed`, async (t) => {
    const { port } = await plainHttps()
    const { session = Buffer.alloc(0), tickets } = await connect({ port, protocol })
    t.equal(tickets.length, protocol === 'TLSv1.3' ? 2 : 1)
    t.same(tickets.at(-1), session)
    t.equal(ticketLifetimeHint(session), 7200)
    t.equal(sessionTimeout(session), 7200)
    t.ok(Math.abs(sessionTime(session) - Date.now() / 1000) < 5)
    const ticket = sessionTicket(session)
    t.equal(ticketKeyName(session).length, 16)
    t.same(withTicket(session, ticket), session)
    for (const length of [0, 1, 127, 128, 65_535, 70_000]) {
      t.same(sessionTicket(withTicket(session, Buffer.alloc(length, 7))), Buffer.alloc(length, 7))
    }
    t.ok((await connect({ port, protocol, session: withTicket(session, ticket) })).reused)
  })

  t.test(`${protocol}: a ticket can be offered under another server name`, async (t) => {
    const { port, handshakes } = await plainHttps()
    const between = await relay(port)
    t.teardown(between.close)
    const { session } = await connect({ port, protocol, servername: 'a.test' })
    t.ok((await connect({ port: between.port, protocol, session, servername: 'b.test' })).reused)
    t.ok(between.sent()[0]?.includes('b.test'))
    t.ok((await connect({ port, protocol, session })).reused)
    const other = protocol === 'TLSv1.3' ? 'b.test' : false
    t.match(handshakes, [{ servername: 'a.test' }, { reused: true, servername: other }, { reused: true, servername: false }])
  })

  t.test(`${protocol}: a ticket with one flipped bit costs a full handshake, without an alert`, async (t) => {
    const { port } = await plainHttps()
    const { session = Buffer.alloc(0) } = await connect({ port, protocol })
    const key = ticketKeyName(session)
    for (const offset of [0, 15, 16, 40, -1]) {
      const flipped = flipBit(session, offset)
      t.equal(ticketKeyName(flipped).equals(key), offset > 15 || offset < 0)
      const exchange = await connect({ port, protocol, session: flipped })
      t.match(exchange, { reused: false, body: 'reused=false' })
    }
    t.ok((await connect({ port, protocol, session })).reused, 'the unchanged ticket resumes')
    t.throws(() => flipBit(session, 100_000), RangeError)
  })

  t.test(`${protocol}: tickets of any length do no harm`, async (t) => {
    const { port } = await plainHttps()
    const { session = Buffer.alloc(0) } = await connect({ port, protocol })
    for (const length of [0, 1, 15, 16, 64, 60_000]) {
      t.notOk((await connect({ port, protocol, session: withTicket(session, Buffer.alloc(length)) })).reused)
    }
  })

  t.test(`${protocol}: a client can hang up at each stage`, async (t) => {
    let accepted = 0
    let hellos = 0 // Node.js calls the SNICallback after it has read the ClientHello, unless the ticket is accepted
    const SNICallback = (_name: string, done: (error: Error | null) => void): void => {
      hellos++
      done(null)
    }
    const { server, port, handshakes } = await plainHttps({ SNICallback })
    server.on('connection', () => { accepted++ })
    const { session } = await connect({ port, protocol, servername: 'a.test' })
    await hangUp('connected', { port })
    await until(() => accepted === 2)
    for (const stage of ['client-hello', 'server-hello'] as const) {
      await hangUp(stage, { port, protocol, session })
      await hangUp(stage, { port, protocol, servername: 'a.test' })
    }
    await until(() => accepted === 6 && hellos === 3)
    t.equal(handshakes.length, 1)
    await hangUp('finished', { port, protocol, session, servername: 'a.test' })
    await until(() => handshakes.length === 2)
    t.ok(handshakes[1]?.reused)
    t.notOk((await connect({ port, protocol })).reused, 'the server still serves')
  })

  t.test(`${protocol}: client certificates, with intermediate certificates`, async (t) => {
    const ca = await makeCa('client root')
    const intermediate = await ca.intermediate('client intermediate')
    const good = await intermediate.issue({ name: 'client', client: true })
    const late = await ca.issue({ name: 'late', client: true, notAfter: new Date(Date.now() - 1000) })
    const { port, handshakes } = await plainHttps({ requestCert: true, rejectUnauthorized: false, ca: ca.cert })
    for (const pair of [good, late, {}]) await connect({ port, protocol, ...pair })
    t.same(handshakes.map(({ authorized }) => authorized), [true, false, false])
  })
}

t.test('a failed connection rejects with the alert', async (t) => {
  const { port } = await plainHttps({ minVersion: 'TLSv1.3' })
  const failure = await connect({ port, protocol: 'TLSv1.2' }).catch((error: unknown) => error)
  t.ok(failure instanceof ConnectError)
  t.match(failure, { alert: 'protocol version' })
  const client = new SingleUseClient({ port, protocol: 'TLSv1.2' })
  await t.rejects(client.connect())
  t.match(client, { full: 0, resumed: 0, failed: 1 })
})

t.test('a server certificate that cannot be verified is an error, unless verification is off', async (t) => {
  const { port } = await plainHttp2({ allowHTTP1: true })
  for (const via of [connect, connectH2]) {
    await t.rejects(via({ port, servername: 'other.test' }), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' })
    await t.rejects(via({ port, ca: (await makeCa('other')).cert }), ConnectError)
    t.match(await via({ port, servername: 'other.test', rejectUnauthorized: false }), { authorized: false, status: 200 })
  }
})

t.test('a silent server makes a connection time out', async (t) => {
  const { server, port } = await plainHttps()
  server.removeAllListeners('request')
  await t.rejects(connect({ port, timeout: 100 }), { message: 'timed out' })
  await t.rejects(connectH2({ port, timeout: 100, alpn: ['http/1.1'] }), ConnectError)
})

t.test('HelloRetryRequest: the client sends two ClientHellos, and resumes', async (t) => {
  const { port, handshakes } = await plainHttps({ ecdhCurve: 'P-384' })
  const between = await relay(port)
  t.teardown(between.close)
  const options = { port: between.port, protocol: 'TLSv1.3', servername: 'b.test' } as const
  const { session } = await connect({ ...options, ecdhCurve: 'P-384' })
  await connect({ ...options, session, ecdhCurve: 'P-256:P-384' })
  t.same(between.clientHellos(), [1, 2])
  t.match(handshakes, [{ reused: false, servername: 'b.test' }, { reused: true, servername: 'b.test' }])
})

t.test('an external PSK makes isSessionReused() true over TLS 1.3, not over TLS 1.2', async (t) => {
  const { port, handshakes } = await plainHttps(pskServerOptions())
  t.match(await externalPsk({ port, protocol: 'TLSv1.3' }), { reused: true, cipher: 'TLS_AES_128_GCM_SHA256' })
  t.match(await externalPsk({ port, protocol: 'TLSv1.2' }), { reused: false, cipher: 'PSK-AES128-GCM-SHA256' })
  t.match(handshakes, [{ reused: true }, { reused: false }])
  t.match(await connect({ port }), { reused: false, authorized: true })
})

t.test('TLS 1.2 resumes by session id, without a ticket', async (t) => {
  const { server, port, handshakes } = await plainHttps()
  const sessions = cacheSessions(server)
  const client = new ReusingClient({ port, protocol: 'TLSv1.2', tls: { secureOptions: constants.SSL_OP_NO_TICKET } })
  const first = await client.connect()
  t.equal(first.tickets.length, 0)
  t.equal(sessions.size, 1)
  t.ok((await client.connect()).reused)
  t.same(handshakes.map(({ reused }) => reused), [false, true])
})

t.test('a page of metrics is parsed, compared and checked', async (t) => {
  const page = (a: number): string => [
    '# HELP a_total of things', '# TYPE a_total counter', `a_total{z="1",b="x\\"}\\\\ \\n,"} ${a}`,
    'b 1.5e3', 'c{le="+Inf"} +Inf 1700000000', 'd NaN', '# EOF', ''].join('\n')
  const before = parseMetrics(page(1))
  const after = parseMetrics(page(4))
  t.equal(value(before, 'a_total', { b: 'x"}\\ \n,', z: '1' }), 1)
  t.equal(value(before, 'b'), 1500)
  t.equal(value(before, 'c', { le: '+Inf' }), Infinity)
  t.throws(() => value(before, 'a_total'), { message: 'no series a_total' })
  t.equal(value(difference(before, after), 'b'), 0)
  t.same(changes(before, after, 'a_'), { 'a_total{b="x"}\\ \n,",z="1"}': 3 })
  for (const bad of ['a', 'a x', 'a{b} 1', 'a{b="c} 1', 'a 1\na 2']) t.throws(() => parseMetrics(bad))
})

t.test('a module runs in its own process, with its own arguments and messages', async (t) => {
  const { session } = await connect({ port: (await plainHttps()).port })
  const running = runModule(`
    import { ticketLifetimeHint } from '../helpers/client.js'
    process.once('message', (session: string) => {
      process.send?.([process.argv.slice(2), process.env.GREETING, ticketLifetimeHint(Buffer.from(session, 'base64'))])
      console.log('bye')
    })
  `, { args: ['one', 'two'], env: { GREETING: 'hello' } })
  t.teardown(running.stop)
  running.send(session?.toString('base64') ?? '')
  t.same(await running.next(), [['one', 'two'], 'hello', 7200])
  t.same(await running.exit, { code: 0, signal: null })
  t.equal(running.output(), 'bye\n')
  await t.rejects(running.next(), /exited without a message:\nbye/)
  await t.rejects(until(() => false, 10), /not within 10 ms/)
})
