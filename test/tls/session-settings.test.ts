import { randomBytes } from 'node:crypto'
import type { Server } from 'node:https'
import { setTimeout as sleep } from 'node:timers/promises'
import { createServer } from 'node:tls'
import type { TlsOptions } from 'node:tls'
import t, { type Test } from 'tap'
import type { TicketKeys } from '../../lib/manager/ticket-keys.js'
import { ownSessionIdContext, type TlsServerInternals } from '../../lib/tls/server-internals.js'
import { serverCert } from '../helpers/certs.js'
import { connect, PROTOCOLS, type Protocol } from '../helpers/connect.js'
import { manage, serve } from '../helpers/managed.js'
import { closeAll, plainHttps } from '../helpers/server.js'

/* A server's owner sets limits with `sessionIdContext` and `sessionTimeout`. The package keeps these limits. */

t.teardown(closeAll)

const { key, cert } = await serverCert()

/** Two servers under one manager. */
async function twoServers (t: Test, first: TlsOptions, second: TlsOptions): Promise<{
  keys: TicketKeys,
  ports: number[],
  servers: Server[]
}> {
  const { keys } = await manage(t, { source: { type: 'static', keys: [randomBytes(80)] } })
  const plain = [await plainHttps(first), await plainHttps(second)]
  for (const { server } of plain) keys.attach(server)
  return { keys, ports: plain.map(({ port }) => port), servers: plain.map(({ server }) => server) }
}

for (const protocol of PROTOCOLS) {
  t.test(`${protocol}: servers with different sessionIdContext do not resume each other's sessions`, async (t) => {
    const { keys, ports: [a = 0, b = 0] } = await twoServers(t, { sessionIdContext: 'A' }, { sessionIdContext: 'B' })
    const { session } = await connect({ port: a, protocol })
    t.equal((await connect({ port: b, protocol, session })).reused, false)
    t.equal((await connect({ port: a, protocol, session })).reused, true)
    t.equal(keys.stats().rejected[protocol].context, 1)
  })

  t.test(`${protocol}: servers with the same sessionIdContext, and servers without one, resume each other's sessions`, async (t) => {
    for (const options of [{ sessionIdContext: 'A' }, {}]) {
      const { ports: [a = 0, b = 0] } = await twoServers(t, options, options)
      const { session } = await connect({ port: a, protocol })
      t.equal((await connect({ port: b, protocol, session })).reused, true)
    }
  })

  t.test(`${protocol}: a certificate that is renewed without the sessionIdContext ends no session`, async (t) => {
    const { ports: [a = 0, b = 0], servers } = await twoServers(t, { sessionIdContext: 'A' }, { sessionIdContext: 'B' })
    const { session } = await connect({ port: a, protocol })
    servers[0]?.setSecureContext({ key, cert })
    t.equal((await connect({ port: a, protocol, session })).reused, true)
    servers[1]?.setSecureContext({ key, cert })
    t.equal((await connect({ port: b, protocol, session })).reused, false, 'the other server still has its own')
    servers[0]?.setSecureContext({ key, cert, sessionIdContext: 'new' })
    t.equal((await connect({ port: a, protocol, session })).reused, false, 'another value ends the sessions')
  })

  t.test(`${protocol}: a shorter sessionTimeout of the server is the limit`, async (t) => {
    const { keys, port } = await serve(t, { ticketLifetime: '1h' }, async () => await plainHttps({ sessionTimeout: 2 }))
    const { session } = await connect({ port, protocol })
    t.equal((await connect({ port, protocol, session })).reused, true)
    await sleep(2500)
    t.equal((await connect({ port, protocol, session })).reused, false)
    t.equal(keys.stats().rejected[protocol].session_expired, 1)
  })

  t.test(`${protocol}: a sessionTimeout that is set later counts for the tickets that clients hold`, async (t) => {
    const { keys, clock, port, server } = await serve(t, { ticketLifetime: '1h' }, async () => await plainHttps())
    const { session } = await connect({ port, protocol })
    clock.step(60_000)
    t.equal((await connect({ port, protocol, session })).reused, true)
    server.setSecureContext({ key, cert, sessionTimeout: 30 })
    t.equal((await connect({ port, protocol, session })).reused, false)
    t.equal(keys.stats().rejected[protocol].session_expired, 1)
  })

  t.test(`${protocol}: a longer sessionTimeout of the server does not extend ticketLifetime`, async (t) => {
    const options = { ticketLifetime: '10m', rotationInterval: '5m' } as const
    const { clock, port } = await serve(t, options, async () => await plainHttps({ sessionTimeout: 86_400 }))
    const { session } = await connect({ port, protocol })
    clock.step(11 * 60_000)
    t.equal((await connect({ port, protocol, session })).reused, false)
  })
}

t.test("Node.js's default sessionIdContext counts as none", async (t) => {
  t.equal(ownSessionIdContext(createServer() as TlsServerInternals), '')
  t.equal(ownSessionIdContext(createServer({ sessionIdContext: 'A' }) as TlsServerInternals), 'A')
})

/** Starts a server that stores sessions by ID in `store`. Another server can use the same store. */
async function withStore (t: Test, store: Map<string, Buffer>, sessionIdContext: string,
  managed: boolean): Promise<{ port: number, warnings: string[] }> {
  const { server, port } = await plainHttps({ sessionIdContext, maxVersion: 'TLSv1.2' })
  server.on('newSession', (id: Buffer, data: Buffer, done: () => void) => { store.set(id.toString('hex'), data); done() })
  server.on('resumeSession',
    (id: Buffer, done: (error: null, data: Buffer | null) => void) => { done(null, store.get(id.toString('hex')) ?? null) })
  if (!managed) return { port, warnings: [] }
  const { keys, log } = await manage(t)
  keys.attach(server)
  return { port, warnings: log.of('warn') }
}

t.test('session IDs of a store resume as in plain Node.js, and a warning says that the rules do not cover them', async (t) => {
  const protocol: Protocol = 'TLSv1.2'
  // SSL_OP_NO_TICKET: the client takes no tickets, so the session has only an ID.
  const client = { protocol, tls: { secureOptions: 0x4000 } }
  const reused: Record<string, boolean[]> = {}
  for (const managed of [false, true]) {
    const store = new Map<string, Buffer>()
    const a = await withStore(t, store, 'A', managed)
    const b = await withStore(t, store, 'B', managed)
    const { session } = await connect({ port: a.port, ...client })
    reused[String(managed)] = [
      (await connect({ port: a.port, ...client, session })).reused,
      (await connect({ port: b.port, ...client, session })).reused
    ]
    if (managed) t.match(a.warnings.join(), /resumeSession/)
  }
  t.same(reused.true, reused.false)
  t.same(reused.false, [true, false])
})
