import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import type { TicketKeysOptions } from '../../lib/config/options.js'
import { tlsSession, type TlsSession } from '../../lib/tls/tls-session.js'
import type { StaticKeyParts } from '../../lib/sources/static.js'
import {
  connect, PROTOCOLS, ReusingClient, SingleUseClient, ticketKeyName, ticketLifetimeHint, type Exchange
} from '../helpers/client.js'
import { full, Ledger, resumed, sum, type Step } from '../helpers/ledger.js'
import { serve } from '../helpers/managed.js'
import { cacheSessions, closeAll, plainHttps } from '../helpers/server.js'

t.teardown(closeAll)

const MINUTE = 60_000
const HOUR = 60 * MINUTE

type Served = Awaited<ReturnType<typeof serve>> & { ledger: Ledger, sessions: TlsSession[] }

/** A server under managed keys, and what `tlsSession` said of each connection. */
async function start (t: Test, options: TicketKeysOptions): Promise<Served> {
  const served = await serve(t, options)
  const sessions: TlsSession[] = []
  served.server.on('secureConnection', (socket: TLSSocket) => { sessions.push(tlsSession(socket) as TlsSession) })
  return { ...served, ledger: new Ledger(t, served), sessions }
}

function aKey (times: Partial<StaticKeyParts> = {}): StaticKeyParts {
  return { name: randomBytes(16), aesKey: randomBytes(32), hmacKey: randomBytes(32), ...times }
}

t.test('TLSv1.3: a chain of renewed tickets ends at maxSessionAge, and the next full handshake begins another', async (t) => {
  const { clock, ledger, port, sessions } = await start(t, {})
  const client = new SingleUseClient({ port, protocol: 'TLSv1.3' })
  await ledger.step('0 min', full('TLSv1.3'), () => client.connect())
  for (let chain = 0; chain < 2; chain++) {
    for (let minutes = 30; minutes < 24 * 60; minutes += 30) {
      clock.step(30 * MINUTE)
      await ledger.step(`${minutes} min`, resumed('TLSv1.3', { age: 1800 }), () => client.connect())
    }
    clock.step(30 * MINUTE)
    await ledger.step('24 h', full('TLSv1.3', 'session_too_old'), () => client.connect())
  }
  const chains = new Set(sessions.filter(({ resumed }) => resumed).map(({ authenticatedAt }) => authenticatedAt))
  t.equal(chains.size, 2, 'each chain has one time of authentication')
})

t.test('TLSv1.2: a session ends ticketLifetime after its full handshake, even if renewed', async (t) => {
  const { clock, ledger, port } = await start(t, {})
  const client = new ReusingClient({ port, protocol: 'TLSv1.2' })
  await ledger.step('0 min', full('TLSv1.2'), () => client.connect())
  for (let minutes = 20; minutes < 120; minutes += 20) {
    clock.step(20 * MINUTE)
    // The memory source's second key begins at 60 min.
    await ledger.step(
      `${minutes} min`,
      resumed('TLSv1.2', { age: minutes < 80 ? minutes * 60 : (minutes - 60) * 60, renewed: minutes === 60 }),
      () => client.connect()
    )
  }
  clock.step(20 * MINUTE)
  await ledger.step('2 h', full('TLSv1.2', 'session_expired'), () => client.connect())
  await ledger.step('a new session', resumed('TLSv1.2'), () => client.connect())
})

t.test('the advertised lifetime never exceeds ticketLifetime, the end of the key or the end of the session', async (t) => {
  const ticketLifetime = 2 * HOUR
  const maxSessionAge = 5 * HOUR
  const acceptUntil = Date.now() + 9 * HOUR
  const { clock, port, sessions } = await start(t, {
    source: { type: 'static', keys: [aKey({ issueUntil: acceptUntil, acceptUntil })] },
    ticketLifetime,
    maxSessionAge
  })
  const hints = { full12: new Set<number>(), full13: new Set<number>(), renewed13: new Set<number>() }
  const check = async (what: keyof typeof hints, { tickets, protocol }: Exchange): Promise<void> => {
    t.ok(tickets.length > 0)
    for (const session of tickets) {
      const hint = ticketLifetimeHint(session)
      hints[what].add(Math.round(hint / 60))
      // When it was issued is known once it is presented.
      await connect({ port, protocol, session })
      const { issuedAt, authenticatedAt } = sessions.at(-1) as { issuedAt: number, authenticatedAt: number }
      const end = Math.min(issuedAt + ticketLifetime, acceptUntil, protocol === 'TLSv1.3' ? authenticatedAt + maxSessionAge : Infinity)
      t.ok(
        issuedAt + hint * 1000 <= end && issuedAt + (hint + 2) * 1000 > end,
        `${what}: ${hint} s, and ${(end - issuedAt) / 1000} s to the end`
      )
    }
  }
  const chain = new SingleUseClient({ port, protocol: 'TLSv1.3' })
  for (let minutes = 0; minutes < 9 * 60; minutes += 45) {
    await check('full12', await connect({ port, protocol: 'TLSv1.2' }))
    await check('full13', await connect({ port, protocol: 'TLSv1.3' }))
    const exchange = await chain.connect()
    await check(exchange.reused ? 'renewed13' : 'full13', exchange)
    clock.step(45 * MINUTE)
  }
  t.match(chain, { full: 2, failed: 0 }, 'one chain ended')
  t.ok(hints.full12.size > 2 && hints.full13.size > 2, 'the end of the key shortened some lifetimes')
  t.ok(hints.renewed13.size > hints.full13.size, 'the end of the chain shortened some lifetimes')
  t.comment(`minutes: ${Object.entries(hints).map(([what, set]) => `${what} ${[...set].join(' ')}`).join(', ')}`)
})

t.test('a ticket is valid for all of ticketLifetime, even if that is one second', async (t) => {
  for (const [ticketLifetime, seconds] of [['1s', 1], ['7d', 604_800]] as const) {
    const { port } = await start(t, { source: { type: 'static', keys: [aKey()] }, ticketLifetime, maxSessionAge: '7d' })
    for (const protocol of PROTOCOLS) {
      const { tickets } = await connect({ port, protocol })
      t.strictSame(tickets.map(ticketLifetimeHint), protocol === 'TLSv1.3' ? [seconds, seconds] : [seconds])
    }
  }
})

t.test('a ticket that would be valid for less than a second is not issued', async (t) => {
  const { clock, ledger, port } = await start(t, { source: { type: 'static', keys: [aKey()] }, ticketLifetime: HOUR, maxSessionAge: HOUR })
  const { session } = await ledger.step('full', full('TLSv1.3'), () => connect({ port, protocol: 'TLSv1.3' }))
  clock.step(HOUR - 990)
  const { tickets } = await ledger.step('at the end of the chain', { 'TLSv1.3': { resumed: 1, age: 3599 } }, () =>
    connect({ port, protocol: 'TLSv1.3', session })
  )
  t.strictSame(tickets, [])
})

t.test('TLSv1.3: if each ticket is used once, 199 of 200 connections resume; with plain Node.js, two of three do', async (t) => {
  const { port, ledger } = await start(t, {})
  const managed = new SingleUseClient({ port, protocol: 'TLSv1.3' })
  const plain = new SingleUseClient({ port: (await plainHttps()).port, protocol: 'TLSv1.3' })
  await ledger.step('200 connections', { 'TLSv1.3': { full: 1, resumed: 199, issued: 2, renewed: 199 } }, async () => {
    const exchanges = []
    for (let i = 0; i < 200; i++) exchanges.push(await managed.connect())
    return exchanges
  })
  for (let i = 0; i < 200; i++) await plain.connect()
  t.match(managed, { full: 1, resumed: 199, failed: 0 })
  t.match(plain, { full: 67, resumed: 133, failed: 0 })
})

for (const ticketsPerHandshake of [1, 2, 16]) {
  t.test(`ticketsPerHandshake: ${ticketsPerHandshake} applies to full TLS 1.3 handshakes; all others issue one ticket`, async (t) => {
    const { port, ledger } = await start(t, { ticketsPerHandshake })
    const first = await ledger.step('TLS 1.3', { 'TLSv1.3': { full: 1, issued: ticketsPerHandshake } }, () =>
      connect({ port, protocol: 'TLSv1.3' })
    )
    t.equal(new Set(first.tickets.map(String)).size, ticketsPerHandshake)
    for (const session of first.tickets) {
      const { tickets } = await ledger.step('each of its tickets', resumed('TLSv1.3'), () =>
        connect({ port, protocol: 'TLSv1.3', session })
      )
      t.equal(tickets.length, 1)
    }
    await ledger.step('TLS 1.2', full('TLSv1.2'), () => connect({ port, protocol: 'TLSv1.2' }))
  })
}

t.test("ticketsPerHandshake: 0 issues no TLS 1.3 ticket, even if another server's ticket resumes; TLS 1.2 is unchanged", async (t) => {
  const source = { type: 'static' as const, keys: [aKey()] }
  const elsewhere = await start(t, { source })
  const { port, ledger } = await start(t, { source, ticketsPerHandshake: 0 })
  const client = { port, protocol: 'TLSv1.3' as const }
  const { tickets } = await ledger.step('full', { 'TLSv1.3': { full: 1 } }, () => connect(client))
  t.strictSame(tickets, [])
  const { session } = await connect({ ...client, port: elsewhere.port })
  const again = await ledger.step('resumed', { 'TLSv1.3': { resumed: 1 } }, () => connect({ ...client, session }))
  t.strictSame(again.tickets, [])
  await ledger.step('TLS 1.2', full('TLSv1.2'), () => connect({ port, protocol: 'TLSv1.2' }))
})

t.test('tls12Tickets: false issues and counts no TLS 1.2 tickets; TLS 1.3 and session IDs are unchanged', async (t) => {
  const { ledger, port, server } = await start(t, { tls12Tickets: false })
  const single = new SingleUseClient({ port, protocol: 'TLSv1.2' })
  for (let i = 0; i < 3; i++) {
    const { tickets } = await ledger.step('TLS 1.2', { 'TLSv1.2': { full: 1 } }, () => single.connect())
    t.strictSame(tickets, [])
  }
  const { session } = await ledger.step('TLS 1.3', full('TLSv1.3'), () => connect({ port, protocol: 'TLSv1.3' }))
  await ledger.step('TLS 1.3 again', resumed('TLSv1.3'), () => connect({ port, protocol: 'TLSv1.3', session }))
  cacheSessions(server)
  const byId = new ReusingClient({ port, protocol: 'TLSv1.2' })
  await ledger.step('TLS 1.2, a session store', { 'TLSv1.2': { full: 1 } }, () => byId.connect())
  await ledger.step('by session ID', { 'TLSv1.2': { otherwise: 1 } }, () => byId.connect())
})

for (const protocol of PROTOCOLS) {
  t.test(`${protocol}: the session times in a ticket survive renewals, rotations and other servers`, async (t) => {
    const [old, next] = [aKey(), aKey()]
    const servers = [
      await start(t, { source: { type: 'static', keys: [old] } }),
      await start(t, { source: { type: 'static', keys: [next, old] } }),
      await start(t, { source: { type: 'static', keys: [next, old] } })
    ] as const
    const [first] = servers
    const connected = Date.now()
    let { session } = await connect({ port: first.port, protocol })
    const [begun] = first.sessions
    t.match(begun, { resumed: false, protocol, keyId: null, issuedAt: null, data: null })
    const authenticatedAt = begun?.authenticatedAt as number
    const carried = new Set<number | null>()
    // The ticket may be made before JavaScript hears of the handshake, on a busy machine long before.
    let lastIssued = connected
    for (const [index, { clock, port, sessions }] of [...servers, ...servers.slice(1)].entries()) {
      clock.step(MINUTE * (index + 1))
      const exchange: Exchange = await connect({ port, protocol, session })
      const { resumed, keyId, issuedAt, authenticatedAt: same } = sessions.at(-1) as TlsSession
      t.match({ resumed, keyId }, { resumed: true, keyId: ticketKeyName(session as Buffer).toString('hex', 0, 4) }, `server ${index}`)
      carried.add(same)
      t.ok(issuedAt as number >= lastIssued, `server ${index}: the presented ticket was issued at ${issuedAt}`)
      lastIssued = issuedAt as number
      session = exchange.session
    }
    t.same(ticketKeyName(session as Buffer), next.name)
    t.equal(carried.size, 1)
    const [same] = carried
    t.ok(Math.abs(same as number - authenticatedAt) < 5000, `${authenticatedAt} in the full handshake, ${same} in its tickets`)
  })
}

t.test('around the end of its lifetime, every ticket either resumes or counts as expired', async (t) => {
  const { ledger, port } = await start(t, { source: { type: 'static', keys: [aKey()] }, ticketLifetime: '2s' })
  const offers: Array<{ protocol: typeof PROTOCOLS[number], session: Buffer }> = []
  await ledger.step('issued', sum(...Array<Step>(30).fill(full('TLSv1.2')), ...Array<Step>(30).fill(full('TLSv1.3'))), async () => {
    const exchanges: Exchange[] = []
    for (let i = 0; i < 30; i++) {
      for (const protocol of PROTOCOLS) {
        const exchange = await connect({ port, protocol })
        offers.push({ protocol, session: exchange.tickets.at(-1) as Buffer })
        exchanges.push(exchange)
        await sleep(5)
      }
    }
    return exchanges
  })
  const steps: Step[] = []
  await ledger.step('offered repeatedly', () => sum(...steps), async () => {
    const exchanges: Exchange[] = []
    for (let left = offers; left.length > 0;) {
      const reused = new Set<Buffer>()
      await Promise.all(left.map(async ({ protocol, session }) => {
        const exchange = await connect({ port, protocol, session })
        exchanges.push(exchange)
        steps.push(exchange.reused ? resumed(protocol) : full(protocol, 'session_expired'))
        if (exchange.reused) reused.add(session)
      }))
      left = left.filter(({ session }) => reused.has(session))
    }
    return exchanges
  })
})
