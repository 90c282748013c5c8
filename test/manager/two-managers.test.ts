import type { TLSSocket } from 'node:tls'
import t from 'tap'
import { tlsSession } from '../../lib/tls/tls-session.js'
import { connect, SingleUseClient } from '../helpers/client.js'
import { issuerAt } from '../helpers/keys.js'
import { manage, serve } from '../helpers/managed.js'
import { closeAll } from '../helpers/server.js'

t.teardown(closeAll)

t.test("a second manager takes over a server's tickets, and logs that it does", async (t) => {
  const first = await serve(t)
  const second = await manage(t)
  second.keys.attach(first.server)
  t.same(second.log.of('warn'), ['the server has managed ticket keys already and now belongs to this manager: ' +
    'the earlier manager still counts its handshakes but no longer issues its tickets'])
  const { port } = first
  const client = new SingleUseClient({ port, protocol: 'TLSv1.3' })
  for (let i = 0; i < 3; i++) await client.connect()
  t.equal(client.resumed, 2)
  t.equal(first.keys.stats().issued['TLSv1.3'], 0)
  t.equal(second.keys.stats().issued['TLSv1.3'], 2)
  // No warning if the earlier managers are closed.
  await Promise.all([first.keys.close(), second.keys.close()])
  const third = await manage(t)
  third.keys.attach(first.server)
  t.same(third.log.of('warn'), [])
})

t.test('after the newer manager closes, the older one still counts handshakes and records sessions', async (t) => {
  const { keys, port, server } = await serve(t)
  const { keys: newer } = await manage(t)
  newer.attach(server)
  await newer.close()
  const seen: unknown[] = []
  server.on('secureConnection', (socket: TLSSocket) => { seen.push(tlsSession(socket)) })
  await connect({ port })
  t.match(seen, [{ resumed: false, keyId: null, authenticatedAt: Number }])
  t.same(keys.stats().handshakes['TLSv1.3'], { full: 1, resumed: 0 })
})

t.test('when the newer of two managers closes, or the older attaches again, the older manager issues the tickets', async (t) => {
  const first = await serve(t)
  const { port, server } = first
  const issuer = async (): Promise<string> =>
    await issuerAt(port) === first.keys.status().current ? 'first' : 'other'
  const before = await connect({ port })
  const second = await manage(t)
  second.keys.attach(server)
  t.equal(await issuer(), 'other')
  t.equal((await connect({ port, session: before.session })).reused, false)
  first.keys.attach(server)
  t.equal(await issuer(), 'first', 'after another call of attach')
  second.keys.attach(server)
  t.equal(await issuer(), 'other')
  await second.keys.close()
  t.equal(await issuer(), 'first', 'after the newer manager has closed')
  t.equal((await connect({ port, session: before.session })).reused, true)
})
