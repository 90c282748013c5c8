// Real handshakes through every path of the addon, for the sanitizers and valgrind to watch: `npx tsx scripts/handshakes.ts [rounds]`.
import { strict as assert } from 'node:assert'
import { randomBytes } from 'node:crypto'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { createTicketKeys, setTicketKeyCallback, TicketStatus } from '../lib/index.js'
import { makeCa, serverCert } from '../test/helpers/certs.js'
import { connect, flipBit, hangUp, PROTOCOLS, withTicket } from '../test/helpers/client.js'

const rounds = Number(process.argv[2] ?? 50)
// Under valgrind everything takes fifty times as long.
const timeout = 120_000
setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

const { key, cert } = await serverCert()
const ca = await makeCa('clients')
const client = await ca.issue({ name: 'client', client: true })

async function serve (options: object): Promise<{ server: Server, port: number }> {
  const server = createServer({ key, cert, ...options }, (_request, response) => response.end('ok'))
  server.addContext('a.test', { key, cert })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  return { server, port: (server.address() as AddressInfo).port }
}

const keys = await createTicketKeys({ rotationInterval: '1s', ticketLifetime: '20s', environment: false })
const open = await serve({ ecdhCurve: 'P-384:P-256' })
const mutual = await serve({ requestCert: true, rejectUnauthorized: false, ca: ca.cert })
const called = await serve({})
keys.attach(open.server).attach(mutual.server)
const own = { name: randomBytes(16), aesKey: randomBytes(16), hmacKey: randomBytes(16) }
setTicketKeyCallback(called.server, () => ({ status: TicketStatus.Renew, key: own }))

let resumed = 0
for (let round = 0; round < rounds; round++) {
  for (const protocol of PROTOCOLS) {
    const plain = { port: open.port, protocol, timeout }
    const first = await connect({ ...plain, servername: 'a.test' })
    const again = { ...plain, servername: 'a.test', session: first.session }
    if ((await connect(again)).reused) resumed++
    // The server's first choice is not the client's: HelloRetryRequest.
    await connect({ ...again, ecdhCurve: 'P-256:P-384' })
    await connect({ ...again, session: flipBit(first.session, -1) })
    await connect({ ...again, session: withTicket(first.session, randomBytes(8 + round)) })
    await connect({ ...again, servername: 'b.test' })
    const certified = { port: mutual.port, protocol, timeout, cert: client.cert, key: client.key }
    const known = await connect(certified)
    if ((await connect({ ...certified, session: known.session })).reused) resumed++
    await connect({ port: mutual.port, protocol, timeout, session: first.session })
    const one = await connect({ port: called.port, protocol, timeout })
    if ((await connect({ port: called.port, protocol, timeout, session: one.session })).reused) resumed++
  }
  await hangUp('server-hello', { port: open.port, timeout })
  if (round % 5 === 0) {
    open.server.setSecureContext({ key, cert, ecdhCurve: 'P-384:P-256' })
    setTicketKeyCallback(called.server, () => ({ status: TicketStatus.Renew, key: own }))
    await keys.rotate()
    collectGarbage()
  }
}
assert.equal(resumed, rounds * 6)
await sleep(1100)
const { rotations } = keys.stats()
for (const { server } of [open, mutual, called]) server.close()
await keys.close()
collectGarbage()
console.log(`${rounds} rounds, ${resumed} resumed, ${rotations} rotations`)
