import { constants, randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import { type Server } from 'node:tls'
import t from 'tap'
import { addon } from '../../lib/native/binding.js'
import { tlsSession } from '../../lib/tls/tls-session.js'
import type { TlsServerInternals } from '../../lib/tls/server-internals.js'
import { serverCert } from '../helpers/certs.js'
import { connect, PROTOCOLS, type Protocol } from '../helpers/client.js'
import { LogCollector, manage, serve } from '../helpers/managed.js'
import { closeAll, plainHttps, plainTls, type PlainServer } from '../helpers/server.js'
import { issues, resumes, start } from '../helpers/served.js'

t.teardown(closeAll)

const PATCHED = ['addContext', 'setTicketKeys', '_setServerData']

t.test('a server that is attached twice is counted once', async (t) => {
  const served = await start(t)
  const { keys, server, port } = served
  const listeners = server.listenerCount('secureConnection')
  keys.attach(server).attach(server)
  t.equal(server.listenerCount('secureConnection'), listeners)
  t.equal(keys.status().servers, 1)
  const { session } = await issues(served, 'TLSv1.3', () => connect({ port, protocol: 'TLSv1.3' }))
  await resumes(served, 'TLSv1.3', () => connect({ port, protocol: 'TLSv1.3', session }))
})

t.test("two servers under one manager resume each other's tickets; under two managers they do not", async (t) => {
  const { keys, port } = await serve(t)
  const second = await plainTls()
  keys.attach(second.server)
  t.equal(keys.status().servers, 2)
  const other = await serve(t)
  for (const protocol of PROTOCOLS) {
    const { session } = await connect({ port, protocol })
    t.equal((await connect({ port: second.port, protocol, session })).reused, true)
    t.equal((await connect({ port: other.port, protocol, session })).reused, false)
  }
  t.match(keys.stats(), {
    resumed: { 'TLSv1.2': 1, 'TLSv1.3': 1 },
    handshakes: { 'TLSv1.2': { full: 1, resumed: 1 }, 'TLSv1.3': { full: 1, resumed: 1 } }
  })
  t.match(other.keys.stats().rejected, { 'TLSv1.2': { unknown_key: 1 }, 'TLSv1.3': { unknown_key: 1 } })
})

t.test('close() restores a server, and keeps the changes of others', async (t) => {
  const { key, cert } = await serverCert()
  const { keys } = await manage(t)
  const { server, port } = await plainHttps()
  const listeners = server.listeners('secureConnection')
  const calls: string[] = []
  const wrapped = function (this: Server, ...args: Parameters<Server['addContext']>): void {
    calls.push('before')
    const inherited = Object.getPrototypeOf(server) as Server
    inherited.addContext.apply(this, args)
  }
  server.addContext = wrapped
  keys.attach(server)
  t.ok(PATCHED.every((name) => Object.hasOwn(server, name)))
  const ours = server.setSecureContext
  server.setSecureContext = function (options) {
    calls.push('after')
    ours.call(this, options)
  }
  await keys.close()
  t.same(server.listeners('secureConnection'), listeners)
  t.equal(server.addContext, wrapped, 'a method that was wrapped before attach is that wrapper again')
  t.equal(Object.hasOwn(server, 'setTicketKeys'), false)
  t.equal(Object.hasOwn(server, '_setServerData'), false)
  server.addContext('a.test', { key, cert })
  server.setSecureContext({ key, cert })
  t.same(calls, ['before', 'after'], 'a method that was wrapped after attach stays wrapped')
  const options = { port, protocol: 'TLSv1.3' } as const
  const { session } = await connect(options)
  t.ok((await connect({ ...options, session })).reused, "the new context has Node.js's own keys")
})

for (const source of ['memory', 'shared'] as const) {
  t.test(`a server that moves from a manager (${source}) to another has the other's keys, whichever closes`, async (t) => {
    const { server, port } = await plainHttps()
    const { key, cert } = await serverCert()
    const { keys: owner } = await manage(t)
    const { keys: before } = await manage(t, { source: source === 'shared' ? { type: source, handle: owner.handle } : { type: source } })
    const { keys: after } = await manage(t)
    before.attach(server)
    after.attach(server)
    const taken = Object.getOwnPropertyDescriptor(server, '_setServerData')
    const sessions: unknown[] = []
    server.on('secureConnection', (socket) => { sessions.push(tlsSession(socket)) })
    const check = async (protocol: Protocol): Promise<void> => {
      const { session } = await connect({ port, protocol })
      t.ok((await connect({ port, protocol, session })).reused)
      t.match(sessions.at(-1), { resumed: true, keyId: after.status().current, authenticatedAt: Number })
    }
    for (const protocol of PROTOCOLS) await check(protocol)
    await before.close()
    t.same(Object.getOwnPropertyDescriptor(server, '_setServerData'), taken)
    for (const protocol of PROTOCOLS) await check(protocol)
    server.setSecureContext({ key, cert })
    for (const protocol of PROTOCOLS) await check(protocol)
  })
}

t.test('a warning names each option without effect', async (t) => {
  const cases: Array<{ plain: () => Promise<PlainServer<Server>>, warnings: RegExp[] }> = [
    { plain: plainHttps, warnings: [] },
    { plain: () => plainHttps({ ticketKeys: randomBytes(48) }), warnings: [/^the option ticketKeys has no effect/] },
    { plain: () => plainTls({ secureOptions: constants.SSL_OP_NO_TICKET }), warnings: [/SSL_OP_NO_TICKET/] }
  ]
  for (const { plain, warnings } of cases) {
    const { log, port } = await start(t, plain)
    t.match(log.of('warn'), warnings)
    t.equal(log.of('warn').length, warnings.length)
    t.ok([200, undefined].includes((await connect({ port })).status), 'the server serves')
  }
})

t.test('setTicketKeys has no effect, and logs a warning', async (t) => {
  const { keys, log, port, server } = await start(t)
  for (const protocol of PROTOCOLS) {
    const { session } = await connect({ port, protocol })
    server.setTicketKeys(randomBytes(48))
    t.equal((await connect({ port, protocol, session })).reused, true)
  }
  t.match(log.of('warn'), [/^setTicketKeys has no effect/, /^setTicketKeys has no effect/])
  t.throws(() => server.setTicketKeys(randomBytes(47)), 'Node.js still checks the argument')
  await keys.close()
  t.equal(log.of('warn').length, 2)
})

t.test('with SSL_OP_NO_TICKET, no ticket is counted, and TLS 1.3 sessions resume from memory', async (t) => {
  const { keys, port } = await start(t, () => plainHttps({ secureOptions: constants.SSL_OP_NO_TICKET }))
  const tls12 = await connect({ port, protocol: 'TLSv1.2' })
  t.equal(tls12.tickets.length, 0)
  const { session } = await connect({ port, protocol: 'TLSv1.3' })
  await connect({ port, protocol: 'TLSv1.3', session })
  t.match(keys.stats(), {
    issued: { 'TLSv1.2': 0, 'TLSv1.3': 0 },
    renewed: { 'TLSv1.2': 0, 'TLSv1.3': 0 },
    resumed: { 'TLSv1.2': 0, 'TLSv1.3': 0 }
  })
  const { handshakes } = keys.stats()
  t.equal(handshakes['TLSv1.2'].full + handshakes['TLSv1.2'].resumed, 1)
  t.equal(handshakes['TLSv1.3'].full + handshakes['TLSv1.3'].resumed, 2)
})

t.test('an object that is not a TLS server is an error of its own, and stays unchanged', async (t) => {
  const { keys } = await manage(t)
  const http = createServer()
  for (const thing of [http, {}, null, undefined, 'server', 443, new LogCollector()]) {
    t.throws(() => keys.attach(thing), { code: 'FST_TICKET_KEYS_NOT_TLS' })
  }
  t.same(Object.keys(http).filter((name) => PATCHED.includes(name)), [])
  t.equal(keys.status().servers, 0)
})

t.test('a server with a context that cannot be found is refused, and stays unchanged', async (t) => {
  const { trustDigest } = addon()
  t.teardown(() => { addon().trustDigest = trustDigest })
  // Another version of Node.js may keep contexts elsewhere, or make contexts that the addon does not see.
  const elsewhere: Array<(server: TlsServerInternals) => () => void> = [
    (server) => {
      const { _sharedCreds } = server
      Object.assign(server, { _sharedCreds: {} })
      return () => { Object.assign(server, { _sharedCreds }) }
    },
    (server) => {
      Object.assign(server, { requestCert: true })
      server._contexts.push([/^a\.test$/, undefined])
      return () => {
        Object.assign(server, { requestCert: false })
        server._contexts.pop()
      }
    },
    () => {
      addon().trustDigest = () => null
      return () => { addon().trustDigest = trustDigest }
    }
  ]
  for (const hide of elsewhere) {
    const { keys } = await manage(t)
    const { server, port } = await plainHttps()
    const listeners = server.listeners('secureConnection')
    const restore = hide(server as Server as TlsServerInternals)
    t.throws(() => keys.attach(server), { code: 'FST_TICKET_KEYS_NOT_TLS', message: /context was not found/ })
    t.equal(keys.status().servers, 0)
    t.same(PATCHED.filter((name) => Object.hasOwn(server, name)), [])
    t.same(server.listeners('secureConnection'), listeners)
    restore()
    keys.attach(server)
    const { session } = await connect({ port })
    t.equal((await connect({ port, session })).reused, true, 'it can be attached later')
  }
})
