import { randomBytes } from 'node:crypto'
import { setImmediate as turn } from 'node:timers/promises'
import { createServer } from 'node:tls'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { setTicketKeyCallback, TicketStatus, type TicketKeyCallback } from '../../lib/index.js'
import { serverCert } from '../helpers/certs.js'
import { connect, PROTOCOLS } from '../helpers/client.js'
import { closeAll, plainHttps } from '../helpers/server.js'

t.teardown(closeAll)

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/**
 * Collects garbage until a condition is true. It waits for a turn of the event loop each time, because a WeakRef that was
 * read keeps its object until the turn ends.
 */
async function collectUntil (condition: () => boolean): Promise<boolean> {
  for (let i = 0; i < 20; i++) {
    await turn()
    collect()
    await turn()
    if (condition()) return true
  }
  return false
}

function callbackOf (): TicketKeyCallback {
  const key = { name: randomBytes(16), aesKey: randomBytes(32), hmacKey: randomBytes(32) }
  return () => ({ status: TicketStatus.Accept, key })
}

/** Servers with a callback each that nobody keeps; references that say when the callbacks are gone. */
async function forgottenServers (count: number): Promise<Array<WeakRef<TicketKeyCallback>>> {
  const { key, cert } = await serverCert()
  return Array.from({ length: count }, () => {
    const callback = callbackOf()
    setTicketKeyCallback(createServer({ key, cert }), callback)
    return new WeakRef(callback)
  })
}

t.test('servers with callbacks are garbage-collected with their callbacks, while other servers continue', async (t) => {
  const { server, port } = await plainHttps()
  setTicketKeyCallback(server, callbackOf())
  const sessions = new Map<string, Buffer>()
  for (const protocol of PROTOCOLS) sessions.set(protocol, (await connect({ port, protocol })).session as Buffer)

  const references = await forgottenServers(200)
  const gone = (): number => references.filter((reference) => reference.deref() === undefined).length
  t.ok(await collectUntil(() => {
    // What a collected context leaves is let go of when the next callback is set.
    setTicketKeyCallback(server, callbackOf())
    return gone() === references.length
  }), 'all are collected')

  for (const protocol of PROTOCOLS) {
    const options = { port, protocol }
    const { session } = await connect(options)
    t.ok((await connect({ ...options, session })).reused)
    t.notOk((await connect({ ...options, session: sessions.get(protocol) })).reused, 'a ticket of the earlier callback')
  }
})

t.test('contexts are replaced and garbage-collected during their handshakes', async (t) => {
  for (const protocol of PROTOCOLS) {
    const { server, port } = await plainHttps()
    setTicketKeyCallback(server, callbackOf())
    const connections = Array.from({ length: 20 }, async () => await connect({ port, protocol }))
    // New contexts while handshakes are under way on the old ones, which nothing else holds.
    const { key, cert } = await serverCert()
    for (let i = 0; i < 10; i++) {
      server.setSecureContext({ key, cert })
      setTicketKeyCallback(server, callbackOf())
      collect()
      await turn()
    }
    const statuses = (await Promise.all(connections)).map(({ status }) => status)
    t.same(statuses, Array<number>(20).fill(200))
  }
})

t.test('a callback may collect garbage, and set another callback, during a handshake', async (t) => {
  for (const protocol of PROTOCOLS) {
    const { server, port } = await plainHttps()
    const callback = callbackOf()
    let asked = 0
    const meddler: TicketKeyCallback = (request) => {
      asked++
      setTicketKeyCallback(server, meddler)
      collect()
      return callback(request)
    }
    setTicketKeyCallback(server, meddler)
    const { session } = await connect({ port, protocol })
    t.ok((await connect({ port, protocol, session })).reused)
    t.equal(asked, protocol === 'TLSv1.3' ? 3 : 2)
  }
})
