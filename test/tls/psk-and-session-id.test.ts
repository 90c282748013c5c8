import { constants } from 'node:crypto'
import { once } from 'node:events'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import t from 'tap'
import { tlsSession } from '../../lib/tls/tls-session.js'
import { serverCert } from '../helpers/certs.js'
import {
  connect, externalPsk, flipBit, pskServerOptions
} from '../helpers/client.js'
import { full, resumed } from '../helpers/ledger.js'
import { cacheSessions, closeAll } from '../helpers/server.js'
import { start } from '../helpers/counted-server.js'

t.teardown(closeAll)

t.test('TLSv1.1: no ticket, no count, and no managed session', async (t) => {
  const old = { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const
  const { keys, ledger, port, server } = await start(t, { ...old, maxVersion: 'TLSv1.3' })
  const sessions: unknown[] = []
  server.on('secureConnection', (socket: TLSSocket) => { sessions.push(tlsSession(socket)) })
  const before = keys.stats()
  const { ca } = await serverCert()
  for (let i = 0; i < 2; i++) {
    const socket = connectTls({ port, host: '127.0.0.1', ca: ca.cert, ...old })
    await once(socket, 'secureConnect')
    t.same([socket.getProtocol(), socket.getTLSTicket()], ['TLSv1.1', undefined])
    socket.end()
    await once(socket, 'close')
  }
  t.same(sessions, [null, null])
  t.strictSame(keys.stats(), before)
  await ledger.step('TLSv1.2 at the same server', full('TLSv1.2'), () => connect({ port, protocol: 'TLSv1.2' }))
})

t.test('TLSv1.3: an external PSK is a resumed handshake, not a resumed ticket, and gets no ticket', async (t) => {
  const served = await start(t, pskServerOptions())
  const { ledger, port } = served
  const client = { port, protocol: 'TLSv1.3' as const }
  const { tickets } = await ledger.step('PSK only', { 'TLSv1.3': { otherwise: 1 } }, () => externalPsk(client))
  t.strictSame(tickets, [])
  const { session } = await ledger.step('no PSK', full('TLSv1.3'), () => connect({ ...client, ciphers: 'TLS_AES_128_GCM_SHA256' }))
  await ledger.step('PSK and a ticket', resumed('TLSv1.3'), () => externalPsk({ ...client, session }))
  await ledger.step('PSK and a bad ticket', { 'TLSv1.3': { otherwise: 1, rejected: { bad_ticket: 1 } } }, () =>
    externalPsk({ ...client, session: flipBit(session as Buffer, -1) }))
})

t.test('TLSv1.2: an external PSK is a full handshake, and gets no ticket', async (t) => {
  const { ledger, port } = await start(t, pskServerOptions())
  const { tickets } = await ledger.step('PSK only', { 'TLSv1.2': { full: 1 } }, () => externalPsk({ port, protocol: 'TLSv1.2' }))
  t.strictSame(tickets, [])
  await ledger.step('no PSK', full('TLSv1.2'), () => connect({ port, protocol: 'TLSv1.2' }))
})

t.test('TLSv1.2: a session resumed by its ID is a resumed handshake, not a resumed ticket, and gets no ticket', async (t) => {
  const { ledger, port, server } = await start(t)
  const sessions = cacheSessions(server)
  const client = { port, protocol: 'TLSv1.2' as const }
  const withoutTickets = { ...client, tls: { secureOptions: constants.SSL_OP_NO_TICKET } }
  const { session } = await ledger.step('no tickets', { 'TLSv1.2': { full: 1 } }, () => connect(withoutTickets))
  t.equal(sessions.size, 1)
  await ledger.step('by session ID', { 'TLSv1.2': { otherwise: 1 } }, () => connect({ ...withoutTickets, session }))
  const { tickets } = await ledger.step('by session ID, with ticket support', { 'TLSv1.2': { otherwise: 1 } }, () =>
    connect({ ...client, session })
  )
  t.strictSame(tickets, [])
})
