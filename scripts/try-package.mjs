// Usage: node try-package.mjs KEY CERTIFICATE. Serves and resumes with the package that is installed beside this file. The file is plain
// JavaScript without helpers, so that you can copy it into an empty project.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { connect } from 'node:tls'
import Fastify from 'fastify'
import ticketKeys from 'fastify-ticket-keys'

assert.equal(createRequire(import.meta.url)('fastify-ticket-keys'), ticketKeys)

const [key, cert] = process.argv.slice(2).map((path) => readFileSync(path))
const app = Fastify({ https: { key, cert } })
await app.register(ticketKeys)
app.get('/', async (request) => request.tlsSession)
await app.listen({ port: 0, host: '127.0.0.1' })

/** Makes one connection with one request, and adds the new tickets to `tickets`. Returns whether the connection resumed. */
async function visit (protocol, session, tickets) {
  const { port } = app.server.address()
  const socket = connect({ port, servername: 'localhost', ca: cert, session, minVersion: protocol, maxVersion: protocol })
  socket.on('session', (ticket) => { tickets.push(ticket) })
  await once(socket, 'secureConnect')
  socket.end('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
  const reused = socket.isSessionReused()
  for await (const chunk of socket) assert.ok(chunk.length > 0)
  return reused
}

for (const protocol of ['TLSv1.2', 'TLSv1.3']) {
  const tickets = []
  assert.equal(await visit(protocol, undefined, tickets), false)
  assert.equal(await visit(protocol, tickets.at(-1), tickets), true)
}
const { resumed } = app.ticketKeys.stats()
assert.deepEqual(resumed, { 'TLSv1.2': 1, 'TLSv1.3': 1 })
await app.close()
console.log(`Node.js ${process.version}, ${process.platform}-${process.arch}: resumed`, resumed)
