// A server whose keys, certificate or process change while clients return. Sends its port when it listens.
//   rotating-server.ts SCENARIO KIND PORT CERTIFICATES      CERTIFICATES: key and certificate files, two pairs
import { createHash, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { createTicketKeys, type TicketKeysOptions } from 'fastify-ticket-keys'
import { CHANGE_MS, HOLD_MS, LIFETIME_S, type Kind, type Scenario } from './rotations.js'

const [scenario, kind, port, ...files] = process.argv.slice(2) as [Scenario, Kind, string, ...string[]]
const [key, cert, otherKey, otherCert] = files.map((file) => readFileSync(file)) as [Buffer, Buffer, Buffer, Buffer]
/** A secret that all servers of a run share. */
const shared = createHash('sha384').update(key).digest()

const server = createServer({
  key,
  cert,
  ...(kind === 'shared' && { ticketKeys: shared, sessionIdContext: 'bench' }),
  ...(scenario === 'deployment' && { sessionTimeout: LIFETIME_S })
}, (_request, response) => {
  // The deployment cuts a connection that is older than its ticket.
  setTimeout(() => { response.end('ok') }, scenario === 'deployment' ? HOLD_MS : 0)
})
if (kind === 'managed') (await createTicketKeys({ environment: false, ...managedOptions() })).attach(server)
if (scenario === 'timer' && kind === 'plain') rotatePlain(server)
if (scenario === 'certificate') renewCertificates(server)

server.listen(Number(port), '127.0.0.1', () => { process.send?.((server.address() as AddressInfo).port) })
process.on('SIGTERM', () => {
  server.close(() => { process.exit() })
})

function managedOptions (): TicketKeysOptions {
  switch (scenario) {
    case 'timer': return { rotationInterval: `${CHANGE_MS / 1000}s`, ticketLifetime: '1m' }
    case 'restart': return { source: { type: 'secret', secret: shared.toString('base64') }, tls12Tickets: false }
    case 'deployment': return { ticketLifetime: `${LIFETIME_S}s` }
    case 'certificate': return {}
  }
}

function rotatePlain (server: Server): void {
  server.setTicketKeys(randomBytes(48))
  setInterval(() => { server.setTicketKeys(randomBytes(48)) }, CHANGE_MS)
}

function renewCertificates (server: Server): void {
  let renewals = 0
  setInterval(() => { server.setSecureContext(renewals++ % 2 === 0 ? { key: otherKey, cert: otherCert } : { key, cert }) }, CHANGE_MS)
}
