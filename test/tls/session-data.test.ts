import { X509Certificate, randomBytes } from 'node:crypto'
import type { Server } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { connect as connectTls, type Server as TlsServer, type TLSSocket } from 'node:tls'
import t from 'tap'
import type { AuthenticatedSession, SessionDataFunction } from '../../lib/native/types.js'
import { tlsSession } from '../../lib/tls/tls-session.js'
import { makeCa, serverCert, type KeyPair } from '../helpers/certs.js'
import { connect, connectH2, PROTOCOLS, type Protocol } from '../helpers/client.js'
import { serve } from '../helpers/managed.js'
import { closeAll, plainHttp2, plainHttps } from '../helpers/server.js'

t.teardown(closeAll)

const settings = (sessionData: SessionDataFunction): { sessionData: SessionDataFunction } => ({ sessionData })

async function renewedCert (): Promise<KeyPair> {
  const { ca } = await serverCert()
  return await ca.issue({ name: 'renewed', hosts: ['localhost', '127.0.0.1', 'a.test'] })
}

/** Records `tlsSession.data` at each handshake. With `late`, reads it after the handshake's tickets were made. */
function record (server: Server, late = false): Array<string | null> {
  const seen: Array<string | null> = []
  server.on('secureConnection', (socket: TLSSocket) => {
    const read = (): void => { seen.push(tlsSession(socket)?.data?.toString() ?? null) }
    if (late) setImmediate(read)
    else read()
  })
  return seen
}

for (const protocol of PROTOCOLS) {
  for (const [name, start, via] of [['HTTP/1.1', plainHttps, connect], ['HTTP/2', plainHttp2, connectH2]] as const) {
    for (const late of [false, true]) {
      const when = late ? 'late' : 'early'
      t.test(`${protocol} over ${name}: the data survives ten renewals, rotations and a new certificate (read ${when})`, async (t) => {
        let calls = 0
        const { server, port, keys } = await serve<Server>(t, settings(() => Buffer.from(`tenant ${++calls}`)), start)
        const seen = record(server, late)
        let { session } = await via({ port, protocol, servername: 'a.test' })
        for (let i = 0; i < 10; i++) {
          await keys.rotate()
          if (i === 5) (server as TlsServer).setSecureContext(await renewedCert())
          const renewed = await via({ port, protocol, servername: 'a.test', session })
          t.equal(renewed.reused, true)
          session = renewed.session
        }
        t.strictSame(seen, Array.from({ length: 11 }, () => 'tenant 1'))
        t.equal(calls, 1, 'the function is called once per full handshake')
      })
    }
  }

  t.test(`${protocol}: the function gets the protocol, the name, the result of the verification and the chain`, async (t) => {
    const root = await makeCa('clients')
    const issuer = await root.intermediate('issuer')
    const client = await issuer.issue({ name: 'client', client: true })
    const sessions: AuthenticatedSession[] = []
    const { server, port } = await serve(t, settings((session) => {
      sessions.push(session)
      return new X509Certificate(session.chain[0] as Buffer).raw.subarray(0, 8)
    }), async () => await plainHttps({ requestCert: true, ca: root.cert }))
    const seen = record(server)
    const { session } = await connect({ port, protocol, servername: 'A.test', ...client })
    const second = await connect({ port, protocol, servername: 'a.test', session, ...client })
    t.equal(second.reused, true)
    const [{ chain, ...rest }] = sessions as [AuthenticatedSession]
    t.strictSame(rest, { protocol, serverName: 'a.test', authorized: true })
    t.strictSame(chain.map((der) => new X509Certificate(der).subject), ['CN=client', 'CN=issuer', 'CN=clients'])
    t.equal(seen[0], seen[1])
    t.equal(sessions.length, 1)
  })

  t.test(`${protocol}: a client that failed the verification is not authorized, and has no chain`, async (t) => {
    const [trusted, other] = await Promise.all([makeCa('trusted'), makeCa('other')])
    const client = await other.issue({ name: 'client', client: true })
    const sessions: AuthenticatedSession[] = []
    const { port } = await serve(t, settings((session) => { sessions.push(session); return null }),
      async () => await plainHttps({ requestCert: true, rejectUnauthorized: false, ca: trusted.cert }))
    await connect({ port, protocol, ...client })
    t.strictSame(sessions, [{ protocol, serverName: null, authorized: false, chain: [] }])
  })

  t.test(`${protocol}: null keeps nothing, and an empty Buffer comes back as such`, async (t) => {
    let answer: Buffer | null = null
    const { server, port } = await serve(t, settings(() => answer))
    const seen = record(server)
    for (answer of [null, Buffer.alloc(0), Buffer.alloc(512, 'x')]) {
      const { session } = await connect({ port, protocol })
      const { reused } = await connect({ port, protocol, session })
      t.equal(reused, true)
    }
    t.strictSame(seen, [null, null, '', '', 'x'.repeat(512), 'x'.repeat(512)])
  })

  t.test(`${protocol}: a client without tickets has its data too`, async (t) => {
    let calls = 0
    const { server, port } = await serve(t, { ticketsPerHandshake: 0, tls12Tickets: false, ...settings(() => Buffer.from(`${++calls}`)) })
    const seen = record(server, true)
    await connect({ port, protocol })
    t.strictSame([seen, calls], [['1'], 1])
  })

  t.test(`${protocol}: data that nobody reads, of a session without a ticket, is not asked for`, async (t) => {
    let calls = 0
    const { port } = await serve(t, { ticketsPerHandshake: 0, tls12Tickets: false, ...settings(() => { calls++; return null }) })
    await connect({ port, protocol })
    t.equal(calls, 0)
  })

  t.test(`${protocol}: after the connection has ended, the application is not asked any more`, async (t) => {
    const { server, port } = await serve(t, { ticketsPerHandshake: 0, tls12Tickets: false, ...settings(() => Buffer.from('late')) })
    const ended = new Promise<TLSSocket>((resolve) => {
      server.on('secureConnection', (socket: TLSSocket) => { socket.on('close', () => { setImmediate(resolve, socket) }) })
    })
    await connect({ port, protocol })
    const socket = await ended
    await nextTurn()
    t.equal(tlsSession(socket)?.data, null)
  })

  const wrong: Array<[name: string, fault: () => unknown, problem: RegExp]> = [
    ['throws', () => { throw new Error('no such tenant') }, /no such tenant/],
    ['throws a value that is no Error', () => { AbortSignal.abort('no such tenant').throwIfAborted() }, /not an Error/],
    ['returns too much', () => Buffer.alloc(513), /513 bytes/],
    ['returns a string', () => 'tenant', /must return a Buffer or null/],
    ['returns a promise that rejects', async () => await Promise.reject(new Error('late')), /not a promise/],
    ['overflows the stack', function overflow (): unknown { return [overflow()] }, /stack/]
  ]
  for (const [name, fault, problem] of wrong) {
    t.test(`${protocol}: if the function ${name}, the session gets no ticket, and the handshake goes on`, async (t) => {
      const { server, port, log, clock } = await serve(t, settings(fault as SessionDataFunction))
      const seen = record(server, true)
      for (let i = 0; i < 3; i++) {
        const { status, tickets } = await connect({ port, protocol })
        t.strictSame([status, tickets.length], [200, 0])
      }
      t.strictSame(seen, [null, null, null])
      await nextTurn()
      t.equal(log.of('error').length, 1, 'one report a minute')
      t.match(log.of('error')[0], problem)
      clock.step(61_000)
      await connect({ port, protocol })
      await nextTurn()
      t.match(log.of('error')[1], /2 more faults/)
    })
  }

  t.test(`${protocol}: data over 128 bytes is a warning, once`, async (t) => {
    const { port, log } = await serve(t, settings(() => Buffer.alloc(129)))
    for (let i = 0; i < 2; i++) await connect({ port, protocol })
    await nextTurn()
    t.match(log.of('warn'), [/129 bytes/])
    t.equal(log.of('warn').length, 1)
  })

  t.test(`${protocol}: the function may open connections, rotate, and renew the certificate`, async (t) => {
    const { key, cert } = await serverCert()
    let busy: (() => void) | undefined
    const { server, port, keys } = await serve(t, settings(() => {
      busy?.()
      return Buffer.from('done')
    }))
    const seen = record(server)
    busy = () => {
      busy = undefined
      const client = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false })
      client.on('error', () => {})
      client.destroy()
      keys.rotate().catch(() => {})
      ;(server as TlsServer).setSecureContext({ key, cert })
    }
    const { session } = await connect({ port, protocol })
    const { reused } = await connect({ port, protocol, session })
    t.equal(reused, true)
    t.strictSame(seen.slice(-2), ['done', 'done'])
  })

  t.test(`${protocol}: the function may close the server and destroy its own connection`, async (t) => {
    const sockets: TLSSocket[] = []
    const { server, port, keys } = await serve(t, settings(() => {
      server.close()
      for (const socket of sockets) socket.destroy()
      keys.close().catch(() => {})
      return randomBytes(16)
    }))
    server.on('connection', (socket: TLSSocket) => sockets.push(socket))
    await t.rejects(connect({ port, protocol, timeout: 20_000 }))
  })

  t.test(`${protocol}: a server without the function reads the data of another server's tickets`, async (t) => {
    const key = randomBytes(80)
    const from = await serve(t, { source: { type: 'static', keys: [Buffer.from(key)] }, ...settings(() => Buffer.from('kept')) })
    const to = await serve(t, { source: { type: 'static', keys: [Buffer.from(key)] } })
    const seen = record(to.server)
    const { session } = await connect({ port: from.port, protocol })
    const { session: renewed } = await connect({ port: to.port, protocol, session })
    await connect({ port: to.port, protocol, session: protocol === 'TLSv1.3' ? renewed : session })
    t.strictSame(seen, ['kept', 'kept'])
  })
}

t.test('the function must be a function', async (t) => {
  for (const wrong of ['tenant', {}, 1] as unknown[]) {
    await t.rejects(serve(t, settings(wrong as SessionDataFunction)),
      { code: 'FST_TICKET_KEYS_OPTIONS', message: /sessionData must be a function or null/ })
  }
})

t.test('TLS 1.2: a session of a renegotiation gets no ticket, because the application was not asked about it', async (t) => {
  let calls = 0
  const { server, port } = await serve(t, settings(() => Buffer.from(`${++calls}`)))
  const protocol: Protocol = 'TLSv1.2'
  const done = new Promise<TLSSocket>((resolve) => { server.once('secureConnection', resolve) })
  const client = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false, minVersion: protocol, maxVersion: protocol })
  t.teardown(() => { client.destroy() })
  const socket = await done
  await new Promise<void>((resolve) => {
    client.renegotiate({ rejectUnauthorized: false, requestCert: undefined }, () => { resolve() })
  })
  t.equal(calls, 1)
  t.equal(tlsSession(socket)?.data?.toString(), '1')
})
