import t, { type Test } from 'tap'
import { Clock } from '../../lib/util/clock.js'
import { connect, PROTOCOLS, type Protocol } from '../helpers/client.js'
import { serve, type Managed } from '../helpers/managed.js'
import { closeAll, plainHttps, type PlainServer } from '../helpers/server.js'

t.teardown(closeAll)

const SECOND = 1000
const HOUR = 3_600_000
const WEEK = 7 * 24 * HOUR

const steps = [
  { name: 'an hour back', by: -HOUR, old: true },
  { name: 'an hour ahead', by: HOUR, old: true },
  { name: 'a week ahead', by: WEEK, old: false }
]

/** How often keys are changed, and which steps pass all the keys held: then one handshake goes without a ticket. */
const intervals = [
  { rotationInterval: HOUR, without: { [-HOUR]: 0, [HOUR]: 0, [WEEK]: 1 } },
  { rotationInterval: 60 * SECOND, without: { [-HOUR]: 0, [HOUR]: 1, [WEEK]: 1 } }
]

/** A clock that is wrong by `offset` from the start. */
function clockAt (offset: number): Clock {
  const clock = new Clock()
  clock.step(offset)
  return clock
}

/** Full handshakes until one has brought a ticket: how many brought none. No manager's method is called, which would look at the clock. */
async function handshakesWithout (t: Test, { port }: PlainServer, protocol: Protocol): Promise<number> {
  let without = 0
  for (;;) {
    const first = await connect({ port, protocol })
    if (first.tickets.length > 0) {
      t.ok((await connect({ port, protocol, session: first.session })).reused, 'its ticket resumes')
      return without
    }
    without++
    if (without === 5) return without
  }
}

async function atStart (t: Test, rotationInterval: number, clock = new Clock()): Promise<Managed & PlainServer> {
  return await serve(t, { rotationInterval, ticketLifetime: '2h' }, plainHttps, clock)
}

for (const protocol of PROTOCOLS) {
  for (const { rotationInterval, without } of intervals) {
    for (const { name, by, old } of steps) {
      t.test(`${protocol}: the clock steps ${name}, with a new key every ${rotationInterval / SECOND} s`, async (t) => {
        const server = await atStart(t, rotationInterval)
        const before = await connect({ port: server.port, protocol })
        server.clock.step(by)
        t.equal(await handshakesWithout(t, server, protocol), without[by], 'handshakes without a ticket')
        const again = await connect({ port: server.port, protocol, session: before.session })
        // After a step back by more than the larger of 5 minutes and rotationInterval, the session is from too far in the future.
        const resumes = old && -by <= Math.max(300 * SECOND, rotationInterval)
        t.equal(again.reused, resumes, 'a ticket from before the step')
        t.equal(again.tickets.length > 0, protocol === 'TLSv1.3' || !resumes || by > 0)
        t.equal(server.keys.status().stale, false)
        t.equal(server.keys.status().keys.filter(({ state }) => state === 'current').length, 1)
      })
    }

    t.test(`${protocol}: the clock starts in 1970 and jumps to today, with a new key every ${rotationInterval / SECOND} s`, async (t) => {
      const clock = clockAt(10 * SECOND - Date.now())
      const server = await atStart(t, rotationInterval, clock)
      t.equal(await handshakesWithout(t, server, protocol), 0, 'in 1970')
      const before = await connect({ port: server.port, protocol })
      clock.step(Date.now() - clock.now())
      t.equal(await handshakesWithout(t, server, protocol), 1, 'today')
      t.equal((await connect({ port: server.port, protocol, session: before.session })).reused, false)
      t.ok((server.keys.status().nextRotation ?? 0) > Date.now(), 'the timetable begins today')
      t.ok((server.keys.status().nextRotation ?? 0) <= Date.now() + rotationInterval)
    })
  }

  t.test(`${protocol}: when the clock steps forward and back repeatedly, at most one handshake per step has no ticket`, async (t) => {
    const server = await atStart(t, HOUR)
    for (const by of [HOUR, -HOUR, 2 * HOUR, -3 * HOUR, WEEK, -WEEK, -HOUR, 30 * WEEK, -30 * WEEK]) {
      server.clock.step(by)
      t.ok(await handshakesWithout(t, server, protocol) <= 1, `a step by ${by / HOUR} h`)
    }
    t.ok(server.keys.status().keys.length <= 256)
  })
}
