import { randomBytes } from 'node:crypto'
import t, { type Test } from 'tap'
import { Clock } from '../../lib/util/clock.js'
import type { KeyTimes } from '../../lib/keys/key.js'
import type { RejectReason } from '../../lib/native/types.js'
import type { TicketKeysOptions } from '../../lib/config/options.js'
import type { StaticKeyParts } from '../../lib/sources/static.js'
import {
  connect, flipBit, PROTOCOLS, ReusingClient, sessionTicket, SingleUseClient, ticketKeyName, withTicket,
  type ConnectOptions, type Exchange, type Protocol
} from '../helpers/client.js'
import { full, Ledger, resumed } from '../helpers/ledger.js'
import { serve } from '../helpers/managed.js'
import { EXTENDED_MASTER_SECRET_ALERT } from '../helpers/openssl.js'
import { closeAll, plainHttps } from '../helpers/server.js'

t.teardown(closeAll)

const HOUR = 3_600_000
/** SSL_OP_NO_EXTENDED_MASTER_SECRET of OpenSSL 3, which node:constants leaves out. */
const NO_EXTENDED_MASTER_SECRET = 1
/** Bytes of the key's name and the IV, which stand before the encrypted state. */
const HEAD = 32

type Served = Awaited<ReturnType<typeof serve>> & { ledger: Ledger }

async function start (t: Test, options: TicketKeysOptions, clock?: Clock): Promise<Served> {
  const served = await serve(t, options, plainHttps, clock)
  return { ...served, ledger: new Ledger(t, served) }
}

/** One key, the same for every server that is given it; 48 bytes are Node.js's own layout. */
function oneKey (bytes = randomBytes(80)): Pick<TicketKeysOptions, 'source'> {
  return { source: { type: 'static', keys: [bytes] } }
}

/** A key with times of its own. */
function timed (times: Partial<KeyTimes>): StaticKeyParts {
  return { name: randomBytes(16), aesKey: randomBytes(32), hmacKey: randomBytes(32), ...times }
}

/** A session with a ticket, from a full handshake that is counted. */
async function issue ({ ledger, port }: Served, protocol: Protocol, options: Partial<ConnectOptions> = {}): Promise<Buffer> {
  const { session } = await ledger.step('a full handshake', full(protocol), () => connect({ port, protocol, ...options }))
  return session as Buffer
}

/** Offers a ticket that is refused for a reason: the client gets a full handshake, and with it a ticket that resumes. */
async function refused (
  t: Test,
  { ledger, port }: Served,
  reason: RejectReason,
  options: Partial<ConnectOptions> & { protocol: Protocol, session: Buffer }
): Promise<void> {
  const { protocol } = options
  const { session, tickets } = await ledger.step(reason, full(protocol, reason), () => connect({ port, ...options }))
  t.equal(tickets.length, protocol === 'TLSv1.3' ? 2 : 1, `${reason}: new tickets`)
  await ledger.step('the ticket after a refused ticket', resumed(protocol), () =>
    connect({ port, ...options, session })
  )
}

function keyOf (session: Buffer | undefined): string {
  return ticketKeyName(session as Buffer).toString('hex', 0, 4)
}

t.test('TLSv1.3: if each ticket is used once, every connection but the first resumes, and each gets a new ticket', async (t) => {
  const { ledger, port } = await start(t, {})
  const client = new SingleUseClient({ port, protocol: 'TLSv1.3' })
  t.equal((await ledger.step('the first', full('TLSv1.3'), () => client.connect())).tickets.length, 2)
  for (let i = 0; i < 5; i++) {
    t.equal((await ledger.step('a later ticket', resumed('TLSv1.3'), () => client.connect())).tickets.length, 1)
  }
})

t.test('TLSv1.2: if each ticket is used once, every second connection resumes', async (t) => {
  const { ledger, port } = await start(t, {})
  const client = new SingleUseClient({ port, protocol: 'TLSv1.2' })
  for (let i = 0; i < 3; i++) {
    t.equal((await ledger.step('without a ticket', full('TLSv1.2'), () => client.connect())).tickets.length, 1)
    t.equal((await ledger.step('with a ticket', resumed('TLSv1.2'), () => client.connect())).tickets.length, 0)
  }
})

for (const protocol of PROTOCOLS) {
  t.test(`${protocol}: one ticket resumes repeatedly`, async (t) => {
    const server = await start(t, {})
    const session = await issue(server, protocol)
    for (let i = 0; i < 4; i++) {
      await server.ledger.step('the same ticket', resumed(protocol), () => connect({ port: server.port, protocol, session }))
    }
  })

  t.test(`${protocol}: a ticket from the previous key resumes and is renewed under the current key`, async (t) => {
    const { keys, ledger, port } = await start(t, {})
    const client = new ReusingClient({ port, protocol })
    await ledger.step('the first ticket', full(protocol), () => client.connect())
    await ledger.step('the same key', resumed(protocol), () => client.connect())
    const before = keyOf(client.session)
    t.equal(before, keys.status().current)
    await keys.rotate()
    const renewed = await ledger.step('a newer key is current', resumed(protocol, { renewed: true }), () => client.connect())
    t.equal(renewed.tickets.length, 1)
    t.equal(keyOf(client.session), keys.status().current)
    t.not(keyOf(client.session), before)
    await ledger.step('already renewed', resumed(protocol), () => client.connect())
    t.equal(keyOf(client.session), keys.status().current)
  })

  t.test(`${protocol}: the clock decides which key issues, and a ticket of a next key resumes`, async (t) => {
    const clock = new Clock()
    const now = clock.now()
    const [first, second] = [0, 1].map((hour) =>
      timed({ notBefore: now + hour * HOUR, issueUntil: now + (hour + 1) * HOUR })
    ) as [StaticKeyParts, StaticKeyParts]
    const server = await start(t, { source: { type: 'static', keys: [first, second] } }, clock)
    const { ledger, port } = server
    const old = await issue(server, protocol)
    t.same(ticketKeyName(old), first.name)
    clock.step(HOUR)
    const { session } = await ledger.step('an hour later', resumed(protocol, { renewed: true, age: HOUR / 1000 }), () =>
      connect({ port, protocol, session: old })
    )
    t.same(ticketKeyName(session as Buffer), second.name)
    clock.step(-HOUR)
    // The ticket comes from the future: its age is 0. Over TLS 1.2 nothing newer than its key is there to renew it.
    const back = await ledger.step('the clock set back', resumed(protocol), () => connect({ port, protocol, session }))
    t.equal(back.tickets.length, protocol === 'TLSv1.3' ? 1 : 0)
    for (const ticket of back.tickets) t.same(ticketKeyName(ticket), first.name)
  })
}

for (const protocol of PROTOCOLS) {
  t.test(`${protocol}: unknown_key: tickets of another server, and arbitrary bytes`, async (t) => {
    const server = await start(t, {})
    const other = await start(t, {})
    const session = await issue(other, protocol)
    const own = await issue(server, protocol)
    await refused(t, server, 'unknown_key', { protocol, session })
    for (const length of [1, 15, 16, HEAD, 500, 60_000]) {
      await refused(t, server, 'unknown_key', { protocol, session: withTicket(own, Buffer.alloc(length, 7)) })
    }
    await refused(t, server, 'unknown_key', { protocol, session: withTicket(own, ticketKeyName(own).subarray(0, 15)) })
    for (const offset of [0, 15]) await refused(t, server, 'unknown_key', { protocol, session: flipBit(own, offset) })
  })

  t.test(`${protocol}: expired_key: a key that no longer accepts, while still in memory and after it was erased`, async (t) => {
    const clock = new Clock()
    const acceptUntil = clock.now() + HOUR
    const keysOfAnHour = [timed({ issueUntil: acceptUntil, acceptUntil }), timed({ notBefore: acceptUntil })]
    const server = await start(t, { source: { type: 'static', keys: keysOfAnHour } }, clock)
    const { keys, ledger, port } = server
    const session = await issue(server, protocol)
    await ledger.step('by the clock, with its bytes still in memory', { ...full(protocol, 'expired_key'), rotations: 1 }, async () => {
      clock.step(HOUR)
      return await connect({ port, protocol, session })
    })
    t.equal(keys.status().keys.length, 1, 'after its bytes were erased')
    await refused(t, server, 'expired_key', { protocol, session })
    await refused(t, server, 'expired_key', { protocol, session: flipBit(session, -1) })
    await refused(t, server, 'expired_key', { protocol, session: withTicket(session, ticketKeyName(session)) })
  })

  t.test(`${protocol}: expired_key: a key of a memory source, after the lifetime of its tickets`, async (t) => {
    const server = await start(t, { rotationInterval: HOUR, ticketLifetime: HOUR })
    const session = await issue(server, protocol)
    server.clock.step(2 * HOUR + 1)
    await refused(t, server, 'expired_key', { protocol, session })
  })

  t.test(`${protocol}: bad_ticket: a flipped bit, a truncated ticket, a ticket that is too long`, async (t) => {
    const server = await start(t, {})
    const session = await issue(server, protocol)
    const ticket = sessionTicket(session)
    for (const offset of [-1, -32, -33, 16, HEAD - 1, HEAD, HEAD + 40]) {
      await refused(t, server, 'bad_ticket', { protocol, session: flipBit(session, offset) })
    }
    for (const length of [16, 17, HEAD - 1, HEAD, HEAD + 1, HEAD + 32, HEAD + 33, ticket.length - 1]) {
      await refused(t, server, 'bad_ticket', { protocol, session: withTicket(session, ticket.subarray(0, length)) })
    }
    await refused(t, server, 'bad_ticket', { protocol, session: withTicket(session, Buffer.concat([ticket, Buffer.alloc(1)])) })
    await server.ledger.step('the unchanged ticket', resumed(protocol), () => connect({ port: server.port, protocol, session }))
  })

  t.test(`${protocol}: bad_ticket: a ticket of plain Node.js with the same key has no session start`, async (t) => {
    const bytes = randomBytes(48)
    const server = await start(t, oneKey(bytes))
    const plain = await plainHttps({ ticketKeys: bytes })
    const { session } = await connect({ port: plain.port, protocol })
    t.equal(keyOf(session), server.keys.status().current)
    await refused(t, server, 'bad_ticket', { protocol, session: session as Buffer })
  })
}

for (const protocol of PROTOCOLS) {
  t.test(`${protocol}: mismatch: a ticket of the other protocol version`, async (t) => {
    const server = await start(t, {})
    const session = await issue(server, protocol)
    const others = await issue(server, protocol === 'TLSv1.2' ? 'TLSv1.3' : 'TLSv1.2')
    await refused(t, server, 'mismatch', { protocol, session: withTicket(session, sessionTicket(others)) })
  })
}

for (const protocol of PROTOCOLS) {
  t.test(`${protocol}: context: servers with different sessionIdContexts refuse each other's tickets`, async (t) => {
    const key = oneKey()
    const [one, same, other] = (await Promise.all(
      ['a', 'a', 'b'].map((sessionIdContext) => start(t, { ...key, sessionIdContext }))
    )) as [Served, Served, Served]
    const session = await issue(one, protocol)
    await same.ledger.step('the same context', resumed(protocol), () => connect({ port: same.port, protocol, session }))
    await refused(t, other, 'context', { protocol, session })
  })

  t.test(`${protocol}: session_expired: after ticketLifetime, under a key that still accepts`, async (t) => {
    const server = await start(t, { ...oneKey(), ticketLifetime: HOUR })
    const session = await issue(server, protocol)
    server.clock.step(HOUR - 60_000)
    await server.ledger.step('a minute earlier', resumed(protocol, { age: 3540 }), () => connect({ port: server.port, protocol, session }))
    server.clock.step(60_000)
    await refused(t, server, 'session_expired', { protocol, session })
  })

  t.test(`${protocol}: session_revoked: only sessions from before revokeSessions()`, async (t) => {
    const server = await start(t, {})
    const session = await issue(server, protocol)
    const chained = await server.ledger.step('renewed', resumed(protocol), () => connect({ port: server.port, protocol, session }))
    await server.keys.revokeSessions()
    server.clock.step(1)
    await refused(t, server, 'session_revoked', { protocol, session })
    await refused(t, server, 'session_revoked', { protocol, session: chained.session as Buffer })
  })

  t.test(`${protocol}: session_revoked: the same after the clock was set back`, async (t) => {
    const server = await start(t, {})
    const session = await issue(server, protocol)
    for (let i = 0; i < 2; i++) {
      server.clock.step(-5000)
      await server.keys.revokeSessions()
    }
    await server.ledger.step('before the clock is at that time again', full(protocol, 'session_revoked'), () =>
      connect({ port: server.port, protocol, session })
    )
    server.clock.step(HOUR)
    await refused(t, server, 'session_revoked', { protocol, session })
  })
}

for (const protocol of PROTOCOLS) {
  t.test(`${protocol}: server_name: a ticket resumes only under the name for which it was issued`, async (t) => {
    const server = await start(t, {})
    const { ledger, port } = server
    const named = await issue(server, protocol, { servername: 'a.test' })
    const nameless = await issue(server, protocol)
    await refused(t, server, 'server_name', { protocol, session: named, servername: 'b.test' })
    await refused(t, server, 'server_name', { protocol, session: named })
    await refused(t, server, 'server_name', { protocol, session: nameless, servername: 'a.test' })
    for (const servername of ['a.test', 'A.tesT', 'a.test.']) {
      await ledger.step(servername, resumed(protocol), () =>
        connect({ port, protocol, session: named, servername, rejectUnauthorized: false })
      )
    }
  })

  t.test(`${protocol}: without bindServerName a ticket resumes under any name`, async (t) => {
    const server = await start(t, { bindServerName: false })
    const session = await issue(server, protocol, { servername: 'a.test' })
    for (const name of [{ servername: 'b.test' }, {}]) {
      await server.ledger.step('another name', resumed(protocol), () => connect({ port: server.port, protocol, session, ...name }))
    }
  })
}

for (const protocol of PROTOCOLS) {
  t.test(`${protocol}: only the first applicable reason is counted`, async (t) => {
    const clock = new Clock()
    const key = timed({ acceptUntil: clock.now() + 10 * HOUR })
    const common: TicketKeysOptions = { source: { type: 'static', keys: [key] }, ticketLifetime: 2 * HOUR, maxSessionAge: 3 * HOUR }
    const home = await start(t, { ...common, sessionIdContext: 'home' }, clock)
    const away = await start(t, { ...common, sessionIdContext: 'away' }, clock)
    const ciphers = [
      'TLS_AES_256_GCM_SHA384:ECDHE-ECDSA-AES256-GCM-SHA384',
      'TLS_AES_128_GCM_SHA256:ECDHE-ECDSA-AES128-GCM-SHA256'
    ] as const
    const [right, wrong] = [{ ciphers: ciphers[0], servername: 'a.test' }, { ciphers: ciphers[1], servername: 'b.test' }]
    const offer = async (server: Served, reason: RejectReason, session: Buffer, options: Partial<ConnectOptions>): Promise<void> => {
      await server.ledger.step(`${reason} comes first`, full(protocol, reason), () =>
        connect({ port: server.port, protocol, session, ...options })
      )
    }

    const first = await issue(home, protocol, right)
    clock.step(1.5 * HOUR)
    const renewed = await home.ledger.step('renewed', resumed(protocol, { age: 5400 }), () =>
      connect({ port: home.port, protocol, session: first, ...right })
    )
    clock.step(1.75 * HOUR)
    for (const { keys } of [home, away]) await keys.revokeSessions()
    // 3.25 h after the full handshake: only over TLS 1.3 is there a ticket, of 1.75 h ago, that has not expired.
    if (protocol === 'TLSv1.3') await offer(home, 'session_too_old', renewed.session as Buffer, { ...right, servername: 'b.test' })
    await offer(home, 'session_expired', first, { ...right, servername: 'b.test' })
    await offer(away, 'context', first, { ...right, servername: 'b.test' })
    await offer(away, 'mismatch', first, wrong)
    await offer(away, 'bad_ticket', flipBit(first, -1), wrong)
    await offer(away, 'unknown_key', flipBit(flipBit(first, 0), -1), wrong)
    clock.step(-2.5 * HOUR)
    await offer(home, 'session_revoked', first, { ...right, servername: 'b.test' })
    clock.step(10 * HOUR)
    // No key issues any more, so that none of these handshakes gives a ticket.
    await away.ledger.step('expired_key comes first', { [protocol]: { full: 1, rejected: { expired_key: 1 } } }, () =>
      connect({ port: away.port, protocol, session: flipBit(first, -1), ...wrong }))
  })
}

t.test('TLSv1.3: mismatch: the cipher has another hash', async (t) => {
  const server = await start(t, {})
  const session = await issue(server, 'TLSv1.3', { ciphers: 'TLS_AES_256_GCM_SHA384' })
  const exchange = { protocol: 'TLSv1.3' as const, session }
  await refused(t, server, 'mismatch', { ...exchange, ciphers: 'TLS_AES_128_GCM_SHA256' })
  const short = await issue(server, 'TLSv1.3', { ciphers: 'TLS_AES_128_GCM_SHA256' })
  const { cipher } = await server.ledger.step('another cipher with the same hash', resumed('TLSv1.3'), () =>
    connect({ port: server.port, ...exchange, session: short, ciphers: 'TLS_CHACHA20_POLY1305_SHA256' }))
  t.equal(cipher, 'TLS_CHACHA20_POLY1305_SHA256')
})

t.test("TLSv1.2: mismatch: the session's cipher is no longer offered", async (t) => {
  const server = await start(t, {})
  const session = await issue(server, 'TLSv1.2', { ciphers: 'ECDHE-ECDSA-AES256-GCM-SHA384' })
  await refused(t, server, 'mismatch', { protocol: 'TLSv1.2', session, ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' })
  await server.ledger.step('offered again', resumed('TLSv1.2'), () => connect({ port: server.port, protocol: 'TLSv1.2', session }))
})

t.test('TLSv1.2: mismatch: a session without extended master secret does not resume with it', async (t) => {
  const server = await start(t, {})
  const without = { tls: { secureOptions: NO_EXTENDED_MASTER_SECRET } }
  const session = await issue(server, 'TLSv1.2', without)
  await refused(t, server, 'mismatch', { protocol: 'TLSv1.2', session })
  await server.ledger.step('without extended master secret', resumed('TLSv1.2'), () =>
    connect({ port: server.port, protocol: 'TLSv1.2', session, ...without })
  )
})

// RFC 7627 section 5.3
t.test("TLSv1.2: mismatch: a session with extended master secret, offered without it, ends in OpenSSL's alert", async (t) => {
  const server = await start(t, {})
  const { ledger, port } = server
  const session = await issue(server, 'TLSv1.2')
  const error = await ledger.step('dropped', { 'TLSv1.2': { rejected: { mismatch: 1 } } }, () =>
    connect({ port, protocol: 'TLSv1.2', session, tls: { secureOptions: NO_EXTENDED_MASTER_SECRET } }).catch((error: unknown) => error))
  t.match(error, { name: 'ConnectError', alert: EXTENDED_MASTER_SECRET_ALERT.name })
})

t.test('TLSv1.2: mismatch: a ticket issued before tls12Tickets was false', async (t) => {
  const key = oneKey()
  const issuer = await start(t, key)
  const { ledger, port } = await start(t, { ...key, tls12Tickets: false })
  const session = await issue(issuer, 'TLSv1.2')
  const exchange = await ledger.step('refused', { 'TLSv1.2': { full: 1, rejected: { mismatch: 1 } } }, () =>
    connect({ port, protocol: 'TLSv1.2', session })
  )
  t.strictSame(exchange.tickets, [])
})

t.test('TLSv1.3: session_too_old: a chain of renewed tickets ends, regardless of the age of the last ticket', async (t) => {
  const server = await start(t, { ...oneKey(), ticketLifetime: 2 * HOUR, maxSessionAge: 3 * HOUR })
  const { clock, ledger, port } = server
  const session = await issue(server, 'TLSv1.3')
  clock.step(2 * HOUR - 60_000)
  const renewed: Exchange = await ledger.step('renewed', resumed('TLSv1.3', { age: 7140 }), () =>
    connect({ port, protocol: 'TLSv1.3', session })
  )
  clock.step(HOUR + 60_000)
  await refused(t, server, 'session_too_old', { protocol: 'TLSv1.3', session: renewed.session as Buffer })
})

t.test('TLSv1.2: maxSessionAge has no effect, because a session ends with ticketLifetime', async (t) => {
  const server = await start(t, { ...oneKey(), ticketLifetime: HOUR, maxSessionAge: HOUR })
  const session = await issue(server, 'TLSv1.2')
  server.clock.step(HOUR)
  await refused(t, server, 'session_expired', { protocol: 'TLSv1.2', session })
})
