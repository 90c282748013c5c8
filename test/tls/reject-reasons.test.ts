import { randomBytes } from 'node:crypto'
import t from 'tap'
import { Clock } from '../../lib/util/clock.js'
import type { RejectReason } from '../../lib/native/types.js'
import type { TicketKeysOptions } from '../../lib/config/options.js'
import {
  connect, flipBit, PROTOCOLS, sessionTicket, ticketKeyName, withTicket,
  type ConnectOptions, type Exchange
} from '../helpers/client.js'
import { full, resumed } from '../helpers/ledger.js'
import { closeAll, plainHttps } from '../helpers/server.js'
import { issue, keyOf, oneKey, refused, start, timed, type Served } from '../helpers/ticket-server.js'

t.teardown(closeAll)

const HOUR = 3_600_000

/** Length of the key name and the IV, which come before the encrypted state. In bytes. */
const HEAD = 32

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
    // 3.25 h after the full handshake. Only TLS 1.3 has a renewed ticket, from 1.75 h ago, that has not expired.
    if (protocol === 'TLSv1.3') await offer(home, 'session_too_old', renewed.session as Buffer, { ...right, servername: 'b.test' })
    await offer(home, 'session_expired', first, { ...right, servername: 'b.test' })
    await offer(away, 'context', first, { ...right, servername: 'b.test' })
    await offer(away, 'mismatch', first, wrong)
    await offer(away, 'bad_ticket', flipBit(first, -1), wrong)
    await offer(away, 'unknown_key', flipBit(flipBit(first, 0), -1), wrong)
    clock.step(-2.5 * HOUR)
    await offer(home, 'session_revoked', first, { ...right, servername: 'b.test' })
    clock.step(10 * HOUR)
    // No key issues now, so none of these handshakes gives a ticket.
    await away.ledger.step('expired_key comes first', { [protocol]: { full: 1, rejected: { expired_key: 1 } } }, () =>
      connect({ port: away.port, protocol, session: flipBit(first, -1), ...wrong }))
  })
}

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
