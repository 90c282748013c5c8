import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Clock } from '../../lib/util/clock.js'
import type { TicketKeys } from '../../lib/manager/ticket-keys.js'
import { connect, PROTOCOLS, ReusingClient, SingleUseClient, ticketKeyName, type Exchange } from '../helpers/client.js'
import { randomKey } from '../helpers/keys.js'
import { manage, serve } from '../helpers/managed.js'
import { closeAll, plainHttps } from '../helpers/server.js'

t.teardown(closeAll)

const ROTATIONS = 11

function keyIdOf (exchange: Exchange): string | undefined {
  return exchange.tickets.map((ticket) => ticketKeyName(ticket).toString('hex', 0, 4)).at(-1)
}

/** Stops this thread, timers, server and all. */
function block (ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

/** Compares the rotations counted with the seconds that have passed since the first. */
function exactRotations (t: Test, keys: TicketKeys, first: number): number {
  const passed = (): number => Math.floor((Date.now() - first) / 1000) + 1
  let [expected, counted] = [0, 0]
  do [expected, counted] = [passed(), keys.stats().rotations]
  while (expected !== passed())
  t.equal(counted, expected, 'rotations counted')
  return counted
}

t.test('a rotation every second under load loses no session and fails no handshake', { timeout: 90_000 }, async (t) => {
  const began = Date.now()
  const { keys, port, handshakes } = await serve(t, { rotationInterval: 1000, ticketLifetime: '200s' })
  const events: Array<{ current: string | null, previous: string | null }> = []
  keys.on('rotation', (event) => events.push(event))
  const issued = { 'TLSv1.2': [] as string[], 'TLSv1.3': [] as string[] }
  // From the timetable: on a busy machine nextRotation may be a later one already.
  const firstRotation = keys.status().keys[1]?.notBefore as number
  t.ok(firstRotation >= began + 1000 && firstRotation <= Date.now() + 1000)

  const end = firstRotation + (ROTATIONS - 1) * 1000 + 500
  const load = async (client: SingleUseClient | ReusingClient): Promise<void> => {
    while (Date.now() < end) {
      const { tickets, protocol } = await client.connect()
      issued[protocol].push(...tickets.map((ticket) => ticketKeyName(ticket).toString('hex', 0, 4)))
      await sleep(20)
    }
  }
  const single = new SingleUseClient({ port, protocol: 'TLSv1.3' })
  const reusing = new ReusingClient({ port, protocol: 'TLSv1.2' })
  await Promise.all([load(single), load(reusing)])

  for (const client of [single, reusing]) t.match(client, { full: 1, failed: 0 })
  t.ok(single.resumed > ROTATIONS && reusing.resumed > ROTATIONS)
  t.equal(handshakes.length, 2 + single.resumed + reusing.resumed)
  const stats = keys.stats()
  const { issued: full, renewed, resumed, rejected } = stats
  t.same({ full, renewed, resumed }, {
    full: { 'TLSv1.2': 1, 'TLSv1.3': 2 },
    renewed: { 'TLSv1.2': issued['TLSv1.2'].length - 1, 'TLSv1.3': issued['TLSv1.3'].length - 2 },
    resumed: { 'TLSv1.2': reusing.resumed, 'TLSv1.3': single.resumed }
  })
  t.same(Object.values(rejected).flatMap(Object.values<number>).filter((count) => count > 0), [])

  // Whatever the load on this machine, one second is one rotation.
  const counted = exactRotations(t, keys, firstRotation)
  t.ok(counted >= ROTATIONS)
  t.equal(events.length, counted)
  const order = [events[0]?.previous, ...events.map(({ current }) => current)]
  for (const protocol of PROTOCOLS) {
    const used = issued[protocol].filter((id, index, all) => id !== all[index - 1])
    t.same(used, order.filter((id) => used.includes(id as string)), `${protocol}: keys issue one after the other`)
  }
  t.equal(issued['TLSv1.2'].length, new Set(issued['TLSv1.2']).size, 'over TLS 1.2, one renewal per rotation')
})

for (const protocol of PROTOCOLS) {
  t.test(`${protocol}: after the event loop was blocked during a rotation, the next key makes the next ticket`, async (t) => {
    // JavaScript that runs in the middle of a full handshake, before its ticket is made.
    let inHandshake = (): void => {}
    const { keys, port } = await serve(t, { rotationInterval: 1000, ticketLifetime: '200s' }, () => plainHttps({
      SNICallback: (_name, done) => {
        inHandshake()
        done(null)
      }
    }))
    const client = protocol === 'TLSv1.3' ? new SingleUseClient({ port, protocol }) : new ReusingClient({ port, protocol })
    await client.connect()

    // Nothing of ours has run when the ticket is made: no timer, no promise, no tick.
    const timetable = keys.status().keys
    let [blockedFrom, blockedTo] = [0, 0]
    inHandshake = () => {
      blockedFrom = Date.now()
      block(2000)
      blockedTo = Date.now()
    }
    const exchange = await connect({ port, protocol, servername: 'a.test' })
    const after = Date.now()
    const usual = timetable.find(({ notBefore, issueUntil }) => (notBefore ?? 0) <= blockedFrom && blockedFrom < (issueUntil ?? 0))
    const right = timetable.filter(({ notBefore, issueUntil }) => (notBefore ?? 0) <= after && blockedTo < (issueUntil ?? 0))
    t.ok(blockedTo - blockedFrom >= 2000)
    t.not(keyIdOf(exchange), usual?.id)
    t.ok(right.some(({ id }) => id === keyIdOf(exchange)), 'the key for this time')

    inHandshake = () => {}
    for (let i = 0; i < 3; i++) {
      await client.connect()
      block(1100)
    }
    await client.connect()
    t.match(client, { full: 1, resumed: 4, failed: 0 })
    exactRotations(t, keys, timetable[1]?.notBefore as number)
  })
}

t.test('keys whose names begin with the same bytes, such as text, are told apart', async (t) => {
  const clock = new Clock()
  const now = clock.now()
  const list = [0, 1, 2].map((number) => ({
    ...randomKey(),
    name: Buffer.from(`ticket-key-0000${number}`),
    notBefore: number === 0 ? 0 : now + number * 60_000
  }))
  const { keys } = await manage(t, { source: { type: 'static', keys: list } }, clock)
  const events: unknown[] = []
  keys.on('rotation', (event) => events.push(event))
  for (const rotations of [1, 2]) {
    clock.step(60_000)
    t.equal(keys.stats().rotations, rotations, 'before the manager has read the clock')
    keys.tick()
    t.equal(keys.stats().rotations, rotations)
    t.ok(keys.currentKeyAge() as number < 30_000)
  }
  const id = Buffer.from('tick').toString('hex')
  t.same(events, [{ current: id, previous: id }, { current: id, previous: id }])
})
