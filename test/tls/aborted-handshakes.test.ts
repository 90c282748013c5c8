import type { Server } from 'node:net'
import t from 'tap'
import { makeCa } from '../helpers/certs.js'
import {
  connect, externalPsk, flipBit, hangUp, PROTOCOLS, pskServerOptions, relay, ticketKeyName, type Exchange, type Protocol
} from '../helpers/client.js'
import { full, resumed, sum, type Step } from '../helpers/ledger.js'
import { runModule, until } from '../helpers/process.js'
import { cacheSessions, closeAll, plainHttps } from '../helpers/server.js'
import { start, type Served } from '../helpers/counted-server.js'

t.teardown(closeAll)

const STAGES = ['connected', 'client-hello', 'server-hello', 'finished'] as const

/** Follows a server's connections, of whatever end. */
function follow (server: Server): { accepted: number, open: number } {
  const seen = { accepted: 0, open: 0 }
  server.on('connection', (socket) => {
    seen.accepted++
    seen.open++
    socket.on('close', () => { seen.open-- })
  })
  return seen
}

async function issue ({ ledger, port }: Served, protocol: Protocol): Promise<Buffer> {
  const { session } = await ledger.step('a full handshake', full(protocol), () => connect({ port, protocol }))
  return session as Buffer
}

for (const protocol of PROTOCOLS) {
  t.test(`${protocol}: if clients hang up, finished handshakes and earlier ticket refusals are counted`, async (t) => {
    const served = await start(t)
    const { ledger, port, server } = served
    const session = await issue(served, protocol)
    const bad = flipBit(session, -1)
    const refused: Step = { [protocol]: { rejected: { bad_ticket: 1 } } }
    const offers = [
      { session: undefined, started: {}, finished: full(protocol) },
      { session, started: {}, finished: resumed(protocol) },
      { session: bad, started: refused, finished: full(protocol, 'bad_ticket') }
    ]
    const seen = follow(server)
    for (const stage of STAGES) {
      for (const { session, started, finished } of offers) {
        const expected = stage === 'finished' ? finished : stage === 'connected' ? {} : started
        const { accepted } = seen
        await ledger.step(`${stage}, ${session === undefined ? 'no' : session === bad ? 'a bad' : 'a good'} ticket`, expected, async () => {
          await hangUp(stage, { port, protocol, session })
          await until(() => seen.accepted === accepted + 1 && seen.open === 0)
        })
      }
    }
  })

  t.test(`${protocol}: with a HelloRetryRequest, the ticket that is offered twice is counted once`, async (t) => {
    const { ledger, ...served } = await start(t, { ecdhCurve: 'P-384' })
    const between = await relay(served.port)
    t.teardown(between.close)
    const session = await issue({ ledger, ...served }, protocol)
    const retry = { port: between.port, protocol, ecdhCurve: 'P-256:P-384' }
    await ledger.step('refused', full(protocol, 'bad_ticket'), () => connect({ ...retry, session: flipBit(session, -1) }))
    await ledger.step('accepted', resumed(protocol), () => connect({ ...retry, session }))
    t.strictSame(between.clientHellos(), protocol === 'TLSv1.3' ? [2, 2] : [1, 1])
  })

  t.test(`${protocol}: newSession and resumeSession listeners change nothing for clients with tickets`, async (t) => {
    const served = await start(t)
    const { ledger, port, server } = served
    cacheSessions(server)
    const session = await issue(served, protocol)
    await ledger.step('the ticket', resumed(protocol), () => connect({ port, protocol, session }))
    await ledger.step('a bad ticket', full(protocol, 'bad_ticket'), () => connect({ port, protocol, session: flipBit(session, -1) }))
  })

  t.test(`${protocol}: if the client certificate is refused, the handshake is not counted, but its tickets are`, async (t) => {
    const ca = await makeCa('trusted')
    const good = await ca.issue({ name: 'good', client: true })
    const untrusted = await (await makeCa('other')).issue({ name: 'bad', client: true })
    const { ledger, port, server } = await start(t, { requestCert: true, rejectUnauthorized: true, ca: ca.cert })
    const seen = follow(server)
    const drop = async (pair: object): Promise<void> => {
      await t.rejects(connect({ port, protocol, ...pair }))
      await until(() => seen.open === 0)
    }
    await ledger.step('untrusted', { [protocol]: { issued: protocol === 'TLSv1.3' ? 2 : 1 } }, () => drop(untrusted))
    await ledger.step('no certificate', {}, () => drop({}))
    const { session } = await ledger.step('trusted', full(protocol), () => connect({ port, protocol, ...good }))
    await ledger.step('trusted again', resumed(protocol), () => connect({ port, protocol, session, ...good }))
  })

  t.test(`${protocol}: enableTrace changes nothing`, async (t) => {
    const child = runModule(`
      import { Clock } from '../../lib/util/clock.js'
      import { startTicketKeys } from '../../lib/manager/start.js'
      import { resolveOptions } from '../../lib/config/options.js'
      import { serverCert } from '../helpers/certs.js'
      import { plainHttps } from '../helpers/server.js'
      const log = { info () {}, warn () {}, error () {} }
      const keys = await startTicketKeys(resolveOptions({ environment: false }), log, new Clock())
      const { server, port, handshakes } = await plainHttps({ enableTrace: true })
      keys.attach(server)
      process.on('message', () => { process.send?.({ stats: keys.stats(), handshakes: handshakes.map(({ reused }) => reused) }) })
      process.send?.({ port, ca: (await serverCert()).ca.cert })
    `)
    t.teardown(child.stop)
    const { port, ca } = await child.next() as { port: number, ca: string }
    const { session } = await connect({ port, protocol, ca })
    t.ok((await connect({ port, protocol, ca, session })).reused)
    t.notOk((await connect({ port, protocol, ca, session: flipBit(session as Buffer, -1) })).reused)
    child.send('stats')
    t.match(await child.next(), {
      handshakes: [false, true, false],
      stats: {
        issued: { [protocol]: protocol === 'TLSv1.3' ? 4 : 2 },
        renewed: { [protocol]: protocol === 'TLSv1.3' ? 1 : 0 },
        resumed: { [protocol]: 1 },
        rejected: { [protocol]: { bad_ticket: 1 } },
        handshakes: { [protocol]: { full: 2, resumed: 1 } }
      }
    })
    t.match(child.output(), /ClientHello/, 'there was a trace')
  })
}

t.test('TLSv1.2: if a client hangs up before its renewed ticket arrives, the ticket was issued', async (t) => {
  const served = await start(t)
  const { keys, ledger, port, server } = served
  const session = await issue(served, 'TLSv1.2')
  await keys.rotate()
  const seen = follow(server)
  await ledger.step('cut off', { 'TLSv1.2': { renewed: 1 } }, async () => {
    await hangUp('client-hello', { port, protocol: 'TLSv1.2', session })
    await until(() => seen.accepted === 1 && seen.open === 0)
  })
})

/** One connection of the mix, and what it does to the counters. */
type Kind = (protocol: Protocol, session: Buffer, renewed: boolean) => { expected: Step, made: Promise<Exchange | void> }

t.test('during hundreds of mixed concurrent connections, every counter matches what clients and server saw', async (t) => {
  const served = await start(t, pskServerOptions())
  const { handshakes, keys, ledger, port, server } = served
  const foreign = await plainHttps()
  const pool: Record<Protocol, Buffer[]> = { 'TLSv1.2': [], 'TLSv1.3': [] }
  const strange: Partial<Record<Protocol, Buffer | undefined>> = {}
  for (const protocol of PROTOCOLS) {
    pool[protocol].push(await issue(served, protocol))
    strange[protocol] = (await connect({ port: foreign.port, protocol })).session
  }
  const kinds: Kind[] = [
    (protocol) => ({ expected: full(protocol), made: connect({ port, protocol }) }),
    (protocol, session, renewed) => ({ expected: resumed(protocol, { renewed }), made: connect({ port, protocol, session }) }),
    (protocol, session) => ({ expected: full(protocol, 'bad_ticket'), made: connect({ port, protocol, session: flipBit(session, -1) }) }),
    (protocol) => ({ expected: full(protocol, 'unknown_key'), made: connect({ port, protocol, session: strange[protocol] }) }),
    (protocol, session) => ({
      expected: full(protocol, 'server_name'),
      made: connect({ port, protocol, session, servername: 'a.test' }).then((exchange) => ({ ...exchange, tickets: [] }))
    }),
    (protocol) => ({
      expected: { [protocol]: protocol === 'TLSv1.3' ? { otherwise: 1 } : { full: 1 } },
      made: externalPsk({ port, protocol })
    }),
    () => ({ expected: {}, made: hangUp('connected', { port }) }),
    (protocol) => ({
      expected: { [protocol]: { rejected: { unknown_key: 1 } } },
      made: hangUp('client-hello', { port, protocol, session: strange[protocol] })
    }),
    (protocol, session, renewed) => ({
      expected: protocol === 'TLSv1.2' && renewed ? { 'TLSv1.2': { renewed: 1 } } : {},
      made: hangUp('server-hello', { port, protocol, session })
    }),
    (protocol) => ({ expected: {}, made: hangUp('server-hello', { port, protocol }) }),
    (protocol, session, renewed) => ({ expected: resumed(protocol, { renewed }), made: hangUp('finished', { port, protocol, session }) })
  ]
  const seen = follow(server)
  for (let round = 0; round < 6; round++) {
    if (round % 2 === 1) await keys.rotate()
    const { current } = keys.status()
    const connections = kinds.flatMap((kind, index) => PROTOCOLS.flatMap((protocol) => [0, 1, 2].map((copy) => {
      const session = pool[protocol].at(-1 - (index + copy) % pool[protocol].length) as Buffer
      return () => kind(protocol, session, ticketKeyName(session).toString('hex', 0, 4) !== current)
    })))
    const steps: Step[] = []
    const exchanges: Exchange[] = []
    const { accepted } = seen
    await ledger.step(`round ${round}`, () => sum(...steps), async () => {
      await Promise.all(connections.map(async (begin) => {
        const { expected, made } = begin()
        steps.push(expected)
        const exchange = await made
        if (typeof exchange === 'object') exchanges.push(exchange)
      }))
      await until(() => seen.accepted === accepted + connections.length && seen.open === 0, 20_000)
    })
    const server = new Map(handshakes.map(({ finished, reused, protocol }) => [finished?.toString('hex'), { reused, protocol }]))
    t.strictSame(exchanges.map(({ finished }) => server.get(finished?.toString('hex'))),
      exchanges.map(({ reused, protocol }) => ({ reused, protocol })), 'each client and the server report the same about their handshake')
    for (const { protocol, tickets } of exchanges) pool[protocol].push(...tickets)
  }
  t.equal(seen.accepted, 6 * 2 * 3 * kinds.length)
})
