import dns from 'node:dns'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import type { TicketKeys } from '../../lib/manager/ticket-keys.js'
import { plugin } from '../../lib/plugin.js'
import { makeApp, startApp, type App } from '../helpers/app.js'
import { connect, connectH2, PROTOCOLS } from '../helpers/client.js'

const ADDRESSES = [{ address: '127.0.0.1', family: 4 }, { address: '::1', family: 6 }] as const

/** Makes 'localhost' resolve to IPv4 and IPv6, also where the hosts file knows one only. */
function localhostIsBoth (t: Test): void {
  const original = dns.lookup
  const lookup = (hostname: string, ...rest: unknown[]): void => {
    if (hostname !== 'localhost') return Reflect.apply(original, dns, [hostname, ...rest]) as never
    const done = rest.at(-1) as (...args: unknown[]) => void
    const { all = false } = (typeof rest[0] === 'object' ? rest[0] : {}) as { all?: boolean }
    process.nextTick(() => { done(null, ...(all ? [[...ADDRESSES]] : ['127.0.0.1', 4])) })
  }
  Object.assign(dns, { lookup })
  t.teardown(() => { Object.assign(dns, { lookup: original }) })
}

/** Starts an app on 'localhost'; fails unless that is two servers. */
async function start (t: Test, http2: boolean): Promise<App> {
  localhostIsBoth(t)
  const app = await startApp(t, {}, { http2, host: 'localhost' })
  const addresses = app.app.addresses() as AddressInfo[]
  t.same(addresses.map(({ address }) => address).sort(), ['127.0.0.1', '::1'], 'it listens on two addresses')
  t.same(addresses.map(({ port }) => port), [app.port, app.port])
  return app
}

for (const { http2, via } of [{ http2: false, via: connect }, { http2: true, via: connectH2 }]) {
  for (const protocol of PROTOCOLS) {
    t.test(`${protocol}, HTTP/${http2 ? 2 : 1}: Fastify's two localhost servers resume each other's tickets, and count`, async (t) => {
      const { app, port, handshakes, log } = await start(t, http2)
      const { ticketKeys } = app
      t.equal(ticketKeys.status().servers, 2)
      for (const [from, to] of [['127.0.0.1', '::1'], ['::1', '127.0.0.1'], ['::1', '::1']] as const) {
        const before = ticketKeys.stats()
        const first = await via({ port, protocol, host: from, servername: 'localhost' })
        t.match(JSON.parse(first.body), { tlsSession: { resumed: false, protocol } })
        const second = await via({ port, protocol, host: to, servername: 'localhost', session: first.session })
        t.ok(second.reused, `from ${from} at ${to}`)
        t.match(JSON.parse(second.body), { tlsSession: { resumed: true, protocol, keyId: ticketKeys.status().current } })
        const after = ticketKeys.stats()
        t.equal(after.issued[protocol] - before.issued[protocol], protocol === 'TLSv1.3' ? 2 : 1)
        t.equal(after.resumed[protocol] - before.resumed[protocol], 1)
        t.same(after.handshakes[protocol], { full: before.handshakes[protocol].full + 1, resumed: before.handshakes[protocol].resumed + 1 })
      }
      t.equal(handshakes.length, 2, 'the first server saw two of the six connections')
      t.same(log(), [])
    })
  }
}

t.test('registered in a scope, the plugin manages both servers too', async (t) => {
  localhostIsBoth(t)
  const { app, log } = await makeApp()
  t.teardown(() => app.close())
  let ticketKeys: TicketKeys | undefined
  await app.register(async (outer) => {
    await outer.register(async (scope) => {
      await scope.register(plugin, { environment: false })
      ticketKeys = scope.ticketKeys
    })
  })
  await app.listen({ port: 0, host: 'localhost' })
  const [first, second] = app.addresses() as [AddressInfo, AddressInfo]
  t.same([first.address, second.address].sort(), ['127.0.0.1', '::1'])
  const options = { servername: 'localhost', request: '/metrics' }
  const { session } = await connect({ ...options, port: first.port, host: first.address })
  t.ok((await connect({ ...options, port: second.port, host: second.address, session })).reused)
  t.match(ticketKeys?.status(), { servers: 2 })
  t.same(log(), [])
})

t.test('closing the app detaches both servers', async (t) => {
  const { app } = await start(t, false)
  const { ticketKeys } = app
  await app.close()
  t.match(ticketKeys.status(), { servers: 0, keys: [] })
})

t.test('if Fastify hides its second server, a warning says what to do', async (t) => {
  localhostIsBoth(t)
  const { log } = await startApp(t, {}, {
    host: 'localhost',
    before: (app) => {
      const symbol = Object.getOwnPropertySymbols(app).find(({ description }) => description === 'fastify.serverBindings') as symbol
      // Fastify itself goes on using its own symbol: hidden are only its servers' whereabouts.
      app.addHook('onListen', async () => { Object.defineProperty(app, symbol, { value: undefined, writable: true }) })
    }
  })
  t.match(log(), ["warn: this Fastify does not show its second server for 'localhost': listen on one address"])
})
