import { randomBytes } from 'node:crypto'
import { cpSync, symlinkSync } from 'node:fs'
import { createServer as createHttpsServer } from 'node:https'
import { createServer as createTcpServer, type Server as TcpServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { Duplex } from 'node:stream'
import { Server, TLSSocket, type SecureContext } from 'node:tls'
import { pathToFileURL } from 'node:url'
import t, { type Test } from 'tap'
import type * as Package from '../../lib/index.js'
import { alice, bob, caA, caB, cert, demands, key } from '../helpers/client-cert-parties.js'
import { PROTOCOLS, type Protocol } from '../helpers/client.js'
import { LogCollector, manage } from '../helpers/managed.js'
import { mutualServer, visit } from '../helpers/mutual.js'
import { ROOT } from '../helpers/package.js'
import { closeAll, listen } from '../helpers/server.js'

/* Ways in which a managed server could lose its managed keys, or its policy, without a sign. */

t.teardown(closeAll)

const toB = { key, cert, ...demands(caB.cert) }
const toA = { key, cert, ...demands(caA.cert) }

/** Checks that a ticket of alice does not resume once the server trusts CA B only, and that bob resumes. */
async function assertFollows (t: Test, protocol: Protocol, port: number, change: () => void): Promise<void> {
  const client = { port, protocol, ...alice }
  const first = await visit(client)
  t.match(await visit({ ...client, session: first.session }), { outcome: { reused: true, peer: 'alice' } }, 'before the change')
  change()
  t.equal((await visit({ ...client, session: first.session })).outcome, 'refused', 'an earlier ticket')
  const other = await visit({ port, protocol, ...bob })
  t.match(await visit({ port, protocol, ...bob, session: other.session }), { outcome: { reused: true, peer: 'bob' } }, 'a new ticket')
}

for (const protocol of PROTOCOLS) {
  for (const order of ['before attach', 'after attach']) {
    t.test(`${protocol}: a 'connection' listener prepended ${order} sets a new context for its own connection`, async (t) => {
      const { keys } = await manage(t)
      const { server, port } = await mutualServer(demands(caA.cert))
      let next = toA
      const prepend = (): void => { server.prependListener('connection', () => server.setSecureContext(next)) }
      if (order === 'before attach') prepend()
      keys.attach(server)
      if (order === 'after attach') prepend()
      await assertFollows(t, protocol, port, () => { next = toB })
      t.equal(keys.stats().rejected[protocol].client_certificate, 1)
    })
  }

  t.test(`${protocol}: 'connection' listeners that the application removes and calls itself`, async (t) => {
    const { keys } = await manage(t)
    const { server, port } = await mutualServer(demands(caA.cert))
    const own = server.listeners('connection')
    keys.attach(server)
    server.removeAllListeners('connection')
    server.on('connection', (socket) => { for (const listener of own) listener.call(server, socket) })
    await assertFollows(t, protocol, port, () => server.setSecureContext(toB))
  })

  t.test(`${protocol}: sockets of another server, passed on by emit('connection'), to a server that never listens`, async (t) => {
    for (const wrap of [(socket: Socket) => socket, asDuplex]) {
      const { keys } = await manage(t)
      const server = createHttpsServer({ key, cert, ...demands(caA.cert) }, ({ socket }, response) => {
        const { authorized } = socket as TLSSocket
        response.end(JSON.stringify({ reused: (socket as TLSSocket).isSessionReused(), authorized, peer: nameOf(socket as TLSSocket) }))
      })
      keys.attach(server)
      t.equal(keys.status().servers, 1)
      const port = await frontOf((socket) => { server.emit('connection', wrap(socket)) })
      await assertFollows(t, protocol, port, () => Server.prototype.setSecureContext.call(server, toB))
      t.equal(keys.stats().rejected[protocol].client_certificate, 1)
    }
  })

  t.test(`${protocol}: sockets that the application secures with the server's context itself`, async (t) => {
    const { keys } = await manage(t)
    const { server } = await mutualServer(demands(caA.cert))
    keys.attach(server)
    const port = await frontOf((raw) => {
      const secureContext = Reflect.get(server, '_sharedCreds') as SecureContext
      const socket = new TLSSocket(raw, { isServer: true, server, requestCert: true, rejectUnauthorized: true, secureContext })
      socket.on('secure', () => server.emit('secureConnection', socket)).on('error', () => {})
    })
    const { session } = await visit({ port, protocol, ...alice })
    t.match(await visit({ port, protocol, ...alice, session }), { outcome: { reused: true, peer: 'alice' } })
    server.setSecureContext(toB)
    const { outcome } = await visit({ port, protocol, ...alice, session })
    t.ok(outcome === 'refused' || !outcome.reused)
    t.equal(keys.stats().rejected[protocol].client_certificate, 1)
  })
}

function nameOf (socket: TLSSocket): string | null {
  const name: unknown = socket.getPeerCertificate().subject?.CN
  return typeof name === 'string' ? name : null
}

/** Starts a TCP server that gives each of its sockets to `take`. */
async function frontOf (take: (socket: Socket) => void): Promise<number> {
  const front: TcpServer = createTcpServer((socket) => take(socket.on('error', () => {})))
  return await listen(front)
}

/** A stream that is no net.Socket, over a socket. */
function asDuplex (socket: Socket): Duplex {
  const stream = new Duplex({
    read: () => { socket.resume() },
    write: (chunk, _encoding, done) => { socket.write(chunk as Buffer, done) },
    final: (done) => { socket.end(done) },
    destroy: (error, done) => { socket.destroy(); done(error) }
  })
  socket.on('data', (chunk) => { if (!stream.push(chunk)) socket.pause() }).on('end', () => stream.push(null))
    .on('close', () => stream.destroy())
  return stream
}

/** Two copies of the package: the same addon, and an addon of the copy's own. */
async function copiesOf (t: Test): Promise<Array<typeof Package>> {
  const root = t.testdir({ copy: {}, whole: {} })
  for (const copy of ['copy', 'whole']) {
    for (const part of ['dist', 'package.json', 'binding.gyp']) cpSync(join(ROOT, part), join(root, copy, part), { recursive: true })
    symlinkSync(join(ROOT, 'node_modules'), join(root, copy, 'node_modules'))
    if (copy === 'copy') symlinkSync(join(ROOT, 'build'), join(root, copy, 'build'))
    else cpSync(join(ROOT, 'build/Release'), join(root, copy, 'build/Release'), { recursive: true })
  }
  return await Promise.all(['copy', 'whole'].map(async (copy) =>
    await import(pathToFileURL(join(root, copy, 'dist/index.js')).href) as typeof Package))
}

t.test('two copies of the package on one server: the newest manager has it, and the other when that one closes', async (t) => {
  for (const copy of await copiesOf(t)) {
    for (const protocol of PROTOCOLS) {
      const source = { type: 'static' as const, keys: [randomBytes(80)] }
      const log = new LogCollector()
      const { keys: first } = await manage(t, { source: { type: 'static', keys: [randomBytes(80)] } })
      const second = await copy.createTicketKeys({ source, log, environment: false })
      t.teardown(async () => { await second.close() })
      const { server, port } = await mutualServer(demands(caA.cert))
      first.attach(server)
      second.attach(server)
      t.match(log.of('warn'), [/^the server has managed ticket keys already/])
      server.setSecureContext(toA)
      await assertFollows(t, protocol, port, () => server.setSecureContext(toB))
      t.match([first.stats().issued[protocol], first.stats().renewed[protocol], first.stats().handshakes[protocol].resumed],
        [0, 0, 2], 'the first manager counts handshakes and issues no tickets')
      await second.close()
      const { session } = await visit({ port, protocol, ...bob })
      t.match(await visit({ port, protocol, ...bob, session }), { outcome: { reused: true, peer: 'bob' } }, 'after close')
      t.ok(first.stats().resumed[protocol] > 0)
      await first.close()
      t.equal(Object.getOwnPropertyDescriptor(server, '_sharedCreds')?.writable, true, 'close() restores the server')
    }
  }
})
