import { randomBytes } from 'node:crypto'
import { createSecureServer } from 'node:http2'
import type { Server } from 'node:net'
import type { TLSSocket } from 'node:tls'
import t from 'tap'
import { tlsSession, type TlsSession } from '../../lib/tls/tls-session.js'
import { makeCa, serverCert } from '../helpers/certs.js'
import { applicationData, connect, connectH2, PROTOCOLS, sessionTicket } from '../helpers/client.js'
import { manage, serve } from '../helpers/managed.js'
import { openTicket } from '../helpers/open-ticket.js'
import { cacheSessions, closeAll, listen, plainHttp2, plainHttps } from '../helpers/server.js'

t.teardown(closeAll)

/** Records the sessions of a server, as its application sees them. */
function record (server: Server): TlsSession[] {
  const seen: TlsSession[] = []
  server.on('secureConnection', (socket: TLSSocket) => seen.push(tlsSession(socket) as TlsSession))
  return seen
}

for (const protocol of PROTOCOLS) {
  for (const [name, start, via] of [['HTTP/1.1', plainHttps, connect], ['HTTP/2', plainHttp2, connectH2]] as const) {
    t.test(`${protocol} over ${name}: tlsSession.serverName is the name that the session is bound to`, async (t) => {
      const { server, port, keys } = await serve<Server>(t, {}, start)
      const seen = record(server)
      let { session } = await via({ port, protocol, servername: 'a.test' })
      for (let i = 0; i < 10; i++) {
        await keys.rotate()
        const renewed = await via({ port, protocol, servername: 'a.test', session })
        t.equal(renewed.reused, true)
        session = renewed.session
      }
      t.strictSame(seen.map(({ resumed, serverName }) => [resumed, serverName]),
        [[false, 'a.test'], ...Array.from({ length: 10 }, () => [true, 'a.test'])])
    })
  }

  t.test(`${protocol}: a name in capital letters is shown in lower case, as it is in the ticket`, async (t) => {
    const { server, port } = await serve(t)
    const seen = record(server)
    const { session } = await connect({ port, protocol, servername: 'A.Test' })
    await connect({ port, protocol, servername: 'a.test', session })
    t.strictSame(seen.map(({ resumed, serverName }) => [resumed, serverName]), [[false, 'a.test'], [true, 'a.test']])
  })

  t.test(`${protocol}: without a server name, serverName is null`, async (t) => {
    const { server, port } = await serve(t)
    const seen = record(server)
    const { session } = await connect({ port, protocol })
    await connect({ port, protocol, session })
    t.strictSame(seen.map(({ resumed, serverName }) => [resumed, serverName]), [[false, null], [true, null]])
  })

  t.test(`${protocol}: without bindServerName, serverName is the name of the full handshake`, async (t) => {
    const { server, port } = await serve(t, { bindServerName: false })
    const seen = record(server)
    const { session } = await connect({ port, protocol, servername: 'a.test' })
    await connect({ port, protocol, servername: 'b.test', session })
    t.strictSame(seen.map(({ resumed, serverName }) => [resumed, serverName]), [[false, 'a.test'], [true, 'a.test']])
  })

  t.test(`${protocol}: what this package adds to a ticket is 13 bytes and the server name, without client certificates`, async (t) => {
    const key = randomBytes(80)
    const { port } = await serve(t, { source: { type: 'static', keys: [key] } })
    const { session } = await connect({ port, protocol, servername: 'a.test' })
    const data = applicationData(openTicket(key, sessionTicket(session as Buffer)))
    t.equal(data.length, 13 + 'a.test'.length)
    t.equal(data.subarray(13).toString(), 'a.test')
  })

  t.test(`${protocol}: with client certificates, 24 bytes more`, async (t) => {
    const key = randomBytes(80)
    const ca = await makeCa('clients')
    const client = await ca.issue({ name: 'client', client: true })
    const { port } = await serve(t, { source: { type: 'static', keys: [key] } },
      async () => await plainHttps({ requestCert: true, ca: ca.cert }))
    const { session } = await connect({ port, protocol, servername: 'a.test', ...client })
    t.equal(applicationData(openTicket(key, sessionTicket(session as Buffer))).length, 13 + 24 + 'a.test'.length)
  })
}

t.test('TLS 1.2: the application sees the tenant on an HTTP/2 request, where socket.servername is false', async (t) => {
  const { keys } = await manage(t)
  const { key, cert } = await serverCert()
  const server = createSecureServer({ key, cert }, (request, response) => {
    const socket = request.socket as TLSSocket & { servername?: string | false }
    response.end(JSON.stringify([socket.servername, tlsSession(socket)?.serverName]))
  })
  keys.attach(server)
  const port = await listen(server)
  const first = await connectH2({ port, protocol: 'TLSv1.2', servername: 'a.test' })
  const second = await connectH2({ port, protocol: 'TLSv1.2', servername: 'a.test', session: first.session })
  t.strictSame([first, second].map(({ body }) => JSON.parse(body) as unknown), [['a.test', 'a.test'], [false, 'a.test']])
})

t.test('TLS 1.2: a session that resumed by its session ID has no serverName', async (t) => {
  const { server, port } = await serve(t, {}, async () => await plainHttps({ secureOptions: 0x4000 }))
  cacheSessions(server)
  const seen = record(server)
  const { session } = await connect({ port, protocol: 'TLSv1.2', servername: 'a.test' })
  const { reused } = await connect({ port, protocol: 'TLSv1.2', servername: 'a.test', session })
  t.equal(reused, true)
  t.strictSame(seen.map(({ resumed, serverName }) => [resumed, serverName]), [[false, 'a.test'], [true, null]])
})
