import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Clock } from '../../lib/util/clock.js'
import { createTicketKeys } from '../../lib/index.js'
import type { TicketKeysOptions } from '../../lib/config/options.js'
import { serverCert } from '../helpers/certs.js'
import { connect, PROTOCOLS, ReusingClient, SingleUseClient, type ConnectOptions, type Exchange, type Protocol } from '../helpers/client.js'
import { idOf, issuerAt, randomKey } from '../helpers/keys.js'
import { full, Ledger, resumed } from '../helpers/ledger.js'
import { manage, serve, type Managed } from '../helpers/managed.js'
import { runModule, until } from '../helpers/process.js'
import { closeAll, plainHttps, type PlainServer } from '../helpers/server.js'

t.teardown(closeAll)

const HOUR = 3_600_000

type Served = Managed & PlainServer & { ledger: Ledger }

async function start (t: Test, options: TicketKeysOptions = {}, clock?: Clock): Promise<Served> {
  const served = await serve(t, options, plainHttps, clock)
  return { ...served, ledger: new Ledger(t, served) }
}

/** A client as its protocol's clients are. */
function clientOf (options: ConnectOptions & { protocol: Protocol }): SingleUseClient | ReusingClient {
  return options.protocol === 'TLSv1.3' ? new SingleUseClient(options) : new ReusingClient(options)
}

/** Tickets of two connections, one after the other, at a server that gives none. */
async function withoutTickets (
  port: number,
  protocol: Protocol,
  session?: Buffer
): Promise<Array<Pick<Exchange, 'reused' | 'status'> & { tickets: number }>> {
  const found = []
  for (const options of [{}, { session }]) {
    const { reused, status, tickets } = await connect({ port, protocol, ...options })
    found.push({ reused, status, tickets: tickets.length })
  }
  return found
}

const NOTHING = { reused: false, status: 200, tickets: 0 }

for (const protocol of PROTOCOLS) {
  t.test(`${protocol}: rotate() makes the next key the current key, and loses no session`, async (t) => {
    const { keys, ledger, port } = await start(t)
    const client = clientOf({ port, protocol })
    await ledger.step('the first ticket', full(protocol), () => client.connect())
    for (let i = 0; i < 5; i++) {
      const { current, keys: before } = keys.status()
      const next = before.filter(({ state }) => state === 'next').sort((a, b) => (a.notBefore ?? 0) - (b.notBefore ?? 0))[0]
      const events: unknown[] = []
      keys.once('rotation', (event) => events.push(event))
      await ledger.step('rotate()', () => ({ rotations: 1 }), () => keys.rotate())
      t.same(events, [{ current: next?.id, previous: current }])
      t.equal(keys.status().current, next?.id)
      t.equal(await issuerAt(port, protocol), next?.id)
      t.equal(keys.status().keys.find(({ id }) => id === current)?.state, 'previous')
      await ledger.step('a ticket of the previous key', resumed(protocol, { renewed: true }), () => client.connect())
    }
    t.equal(keys.status().keys.filter(({ state }) => state === 'next').length, 3, 'the number of next keys stays the same')
  })

  t.test(`${protocol}: hundreds of manual rotations, some of them concurrent, lose no session of connecting clients`, async (t) => {
    const { keys, port } = await serve(t)
    const client = clientOf({ port, protocol })
    // So few at once that the client's newest ticket never is as many keys old as the ring holds.
    for (let i = 0; i < 20; i++) await Promise.all([client.connect(), ...Array.from({ length: 20 }, () => keys.rotate())])
    t.match(client, { full: 1, resumed: 19, failed: 0 })
    t.equal(keys.stats().rotations, 400)
    t.ok(keys.status().keys.length <= 256)
  })

  t.test(`${protocol}: after revokeSessions() no older session resumes, not even with tickets renewed before the call`, async (t) => {
    const { keys, ledger, port } = await start(t)
    const first = await ledger.step('issue', full(protocol), () => connect({ port, protocol }))
    await keys.rotate()
    const renewed = await ledger.step('renew', resumed(protocol, { renewed: true }), () =>
      connect({ port, protocol, session: first.session })
    )
    await sleep(2)
    await keys.revokeSessions()
    await sleep(2)
    for (const session of [first.session, renewed.session]) {
      await ledger.step('an older session', full(protocol, 'session_revoked'), () => connect({ port, protocol, session }))
    }
    const after = await ledger.step('a new session', full(protocol), () => connect({ port, protocol }))
    await ledger.step('resumes', resumed(protocol), () => connect({ port, protocol, session: after.session }))
  })

  t.test(`${protocol}: after close() handshakes are full and issue no tickets, including handshakes in progress`, async (t) => {
    let inHandshake = async (): Promise<void> => {}
    const { keys, port, server } = await serve(t, {}, () => plainHttps({
      SNICallback: (_name, done) => { inHandshake().then(() => done(null), done) }
    }))
    const { session } = await connect({ port, protocol, servername: 'a.test' })
    inHandshake = async () => { await keys.close() }
    const during = await connect({ port, protocol, servername: 'a.test' })
    t.same([during.reused, during.tickets.length, during.status], [false, 0, 200])
    inHandshake = async () => {}
    t.same(await withoutTickets(port, protocol, session), [NOTHING, NOTHING])
    const { key, cert } = await serverCert()
    server.setSecureContext({ key, cert })
    t.ok((await connect({ port, protocol })).tickets.length > 0, "after setSecureContext, the server has Node.js's own keys again")
  })

  t.test(`${protocol}: without a key that may issue, there are no tickets until such a key begins`, async (t) => {
    const now = Date.now()
    const key = randomKey({ notBefore: now - HOUR, issueUntil: now + HOUR, acceptUntil: now + 3 * HOUR })
    const { keys, clock, ledger, log, port } = await start(t, { source: { type: 'static', keys: [key] }, ticketLifetime: '2h' })
    const stale: unknown[] = []
    keys.on('stale', (event) => stale.push(event))
    const { session } = await ledger.step('the key begins', full(protocol), () => connect({ port, protocol }))
    t.match(keys.status(), { stale: false, staleReason: null, current: idOf(key) })
    clock.step(HOUR)
    await ledger.step('a full handshake', { [protocol]: { full: 1 } }, () => connect({ port, protocol }))
    await ledger.step('its tickets resume', { [protocol]: { resumed: 1, age: HOUR / 1000 } }, () => connect({ port, protocol, session }))
    t.match(keys.status(), { stale: true, staleReason: /no key may issue/, current: null, nextRotation: null })
    t.equal(keys.currentKeyAge(), null)
    t.match(stale, [{ reason: /no key may issue/ }])
    t.match(log.of('error'), [/stale: no key may issue/])
    clock.step(-HOUR)
    t.match(keys.status(), { stale: false, staleReason: null, current: idOf(key) })
    await ledger.step('the key begins again', full(protocol), () => connect({ port, protocol }))
    t.equal(stale.length, 1)
  })
}

t.test('a closed manager reports that it is closed, and a second close() does nothing', async (t) => {
  const { keys } = await manage(t)
  await Promise.all([keys.close(), keys.close()])
  await keys.close()
  const { server } = await plainHttps()
  t.throws(() => keys.attach(server), { code: 'FST_TICKET_KEYS_CLOSED' })
  await t.rejects(keys.rotate(), { code: 'FST_TICKET_KEYS_CLOSED' })
  await t.rejects(keys.reload(), { code: 'FST_TICKET_KEYS_CLOSED' })
  t.match(keys.status(), { servers: 0, keys: [], current: null, stale: true })
  t.equal(keys.stats().rotations, 0)
})

t.test('rotate() is an error if the source does not make its own keys', async (t) => {
  const { keys, port } = await serve(t, { source: { type: 'static', keys: [randomBytes(80), randomBytes(80)] } })
  const issuer = await issuerAt(port)
  await t.rejects(keys.rotate(), { code: 'FST_TICKET_KEYS_ROTATE', message: /'static'/ })
  t.equal(await issuerAt(port), issuer)
  t.equal(await keys.reload(), 'unchanged')
  t.match(keys.stats(), { rotations: 0, reloads: { success: 0, unchanged: 1, error: 0 } })
})

t.test('status() shows the timetable, and of each key only its id and times', async (t) => {
  const before = Date.now()
  const { keys, port } = await serve(t, { rotationInterval: '1h' })
  const status = keys.status()
  t.match(status, { source: 'memory', stale: false, staleReason: null, lastError: null, servers: 1, current: await issuerAt(port) })
  t.equal(typeof status.memoryLocked, 'boolean')
  t.ok((status.lastReload as number) >= before && (status.lastReload as number) <= Date.now())
  t.equal(status.keys.length, 4)
  const begun = (status.nextRotation as number) - HOUR
  t.ok(begun >= before && begun <= Date.now())
  t.strictSame(status.keys.map(({ id, ...rest }) => rest), [0, 1, 2, 3].map((index) => ({
    state: index === 0 ? 'current' : 'next',
    notBefore: index === 0 ? null : begun + index * HOUR,
    issueUntil: begun + (index + 1) * HOUR,
    acceptUntil: begun + (index + 3) * HOUR
  })))
  t.ok(status.keys.every(({ id }) => /^[0-9a-f]{8}$/.test(id)))
  t.equal(status.keys[0]?.id, status.current)
  const age = keys.currentKeyAge() as number
  t.ok(age >= 0 && age <= Date.now() - before)
})

t.test('a rotation is noticed without any call', async (t) => {
  const { keys } = await manage(t, { rotationInterval: 1000, ticketLifetime: 1000, maxSessionAge: '1h' })
  const { current, nextRotation } = keys.status()
  const [[event], at] = await new Promise<[[{ current: string | null, previous: string | null }], number]>((resolve) => {
    keys.once('rotation', (...args) => { resolve([args, Date.now()]) })
  })
  t.equal(event.previous, current)
  t.ok(at >= (nextRotation as number))
  t.equal(keys.status().current, event.current)
  // After issuing for a second and accepting for another, the first key is erased.
  await until(() => !keys.status().keys.some(({ id }) => id === current), 20_000)
})

t.test('a throwing listener is reported to the application, and stops no timer', async (t) => {
  const running = runModule(`
    import { createTicketKeys } from '../../lib/create.js'
    process.on('uncaughtException', ({ message }) => { process.send(message) })
    const keys = await createTicketKeys({ environment: false, rotationInterval: 1000, ticketLifetime: '1m' })
    keys.on('rotation', () => { throw new Error('listener') })
    setInterval(() => {}, 1000)
  `)
  t.teardown(running.stop)
  for (let rotation = 0; rotation < 3; rotation++) t.equal(await running.next(), 'listener')
})

t.test('a manager without a log uses Node.js warnings', async (t) => {
  const warnings: Error[] = []
  const listener = (warning: Error): void => { warnings.push(warning) }
  process.on('warning', listener)
  t.teardown(() => process.off('warning', listener))
  const keys = await createTicketKeys({ environment: false })
  t.teardown(() => keys.close())
  keys.attach((await plainHttps({ ticketKeys: randomBytes(48) })).server)
  await until(() => warnings.some(({ name, message }) => name === 'TicketKeysWarning' && message.includes('ticketKeys')))
  t.pass('the warning was emitted')
})
