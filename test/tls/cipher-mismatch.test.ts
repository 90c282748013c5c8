import t from 'tap'
import {
  connect, PROTOCOLS, sessionTicket, withTicket
} from '../helpers/client.js'
import { resumed } from '../helpers/ledger.js'
import { EXTENDED_MASTER_SECRET_ALERT } from '../helpers/openssl.js'
import { closeAll } from '../helpers/server.js'
import { issue, oneKey, refused, start } from '../helpers/ticket-server.js'

t.teardown(closeAll)

/** SSL_OP_NO_EXTENDED_MASTER_SECRET of OpenSSL 3. node:constants does not have it. */
const NO_EXTENDED_MASTER_SECRET = 1

for (const protocol of PROTOCOLS) {
  t.test(`${protocol}: mismatch: a ticket of the other protocol version`, async (t) => {
    const server = await start(t, {})
    const session = await issue(server, protocol)
    const others = await issue(server, protocol === 'TLSv1.2' ? 'TLSv1.3' : 'TLSv1.2')
    await refused(t, server, 'mismatch', { protocol, session: withTicket(session, sessionTicket(others)) })
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
