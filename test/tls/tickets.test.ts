import t from 'tap'
import { Clock } from '../../lib/util/clock.js'
import type { StaticKeyParts } from '../../lib/sources/static.js'
import {
  connect, PROTOCOLS, ReusingClient, SingleUseClient, ticketKeyName
} from '../helpers/client.js'
import { full, resumed } from '../helpers/ledger.js'
import { closeAll } from '../helpers/server.js'
import { issue, keyOf, refused, start, timed } from '../helpers/ticket-server.js'

t.teardown(closeAll)

const HOUR = 3_600_000

t.test('TLSv1.3: if each ticket is used once, every connection but the first resumes, and each gets a new ticket', async (t) => {
  const { ledger, port } = await start(t, {})
  const client = new SingleUseClient({ port, protocol: 'TLSv1.3' })
  t.equal((await ledger.step('the first', full('TLSv1.3'), () => client.connect())).tickets.length, 2)
  for (let i = 0; i < 5; i++) {
    t.equal((await ledger.step('a later ticket', resumed('TLSv1.3'), () => client.connect())).tickets.length, 1)
  }
})

t.test('TLSv1.2: if each ticket is used once, every second connection resumes', async (t) => {
  const { ledger, port } = await start(t, {})
  const client = new SingleUseClient({ port, protocol: 'TLSv1.2' })
  for (let i = 0; i < 3; i++) {
    t.equal((await ledger.step('without a ticket', full('TLSv1.2'), () => client.connect())).tickets.length, 1)
    t.equal((await ledger.step('with a ticket', resumed('TLSv1.2'), () => client.connect())).tickets.length, 0)
  }
})

for (const protocol of PROTOCOLS) {
  t.test(`${protocol}: one ticket resumes repeatedly`, async (t) => {
    const server = await start(t, {})
    const session = await issue(server, protocol)
    for (let i = 0; i < 4; i++) {
      await server.ledger.step('the same ticket', resumed(protocol), () => connect({ port: server.port, protocol, session }))
    }
  })

  t.test(`${protocol}: a ticket from the previous key resumes and is renewed under the current key`, async (t) => {
    const { keys, ledger, port } = await start(t, {})
    const client = new ReusingClient({ port, protocol })
    await ledger.step('the first ticket', full(protocol), () => client.connect())
    await ledger.step('the same key', resumed(protocol), () => client.connect())
    const before = keyOf(client.session)
    t.equal(before, keys.status().current)
    await keys.rotate()
    const renewed = await ledger.step('a newer key is current', resumed(protocol, { renewed: true }), () => client.connect())
    t.equal(renewed.tickets.length, 1)
    t.equal(keyOf(client.session), keys.status().current)
    t.not(keyOf(client.session), before)
    await ledger.step('already renewed', resumed(protocol), () => client.connect())
    t.equal(keyOf(client.session), keys.status().current)
  })

  t.test(`${protocol}: the clock decides which key issues, and a ticket of a next key resumes`, async (t) => {
    const clock = new Clock()
    const now = clock.now()
    const [first, second] = [0, 1].map((hour) =>
      timed({ notBefore: now + hour * HOUR, issueUntil: now + (hour + 1) * HOUR })
    ) as [StaticKeyParts, StaticKeyParts]
    const server = await start(t, { source: { type: 'static', keys: [first, second] } }, clock)
    const { ledger, port } = server
    const old = await issue(server, protocol)
    t.same(ticketKeyName(old), first.name)
    clock.step(HOUR)
    const { session } = await ledger.step('an hour later', resumed(protocol, { renewed: true, age: HOUR / 1000 }), () =>
      connect({ port, protocol, session: old })
    )
    t.same(ticketKeyName(session as Buffer), second.name)
    clock.step(-HOUR)
    // The ticket comes from the future: its age is 0. Over TLS 1.2 nothing newer than its key is there to renew it.
    const back = await ledger.step('the clock set back', resumed(protocol), () => connect({ port, protocol, session }))
    t.equal(back.tickets.length, protocol === 'TLSv1.3' ? 1 : 0)
    for (const ticket of back.tickets) t.same(ticketKeyName(ticket), first.name)
  })
}

for (const protocol of PROTOCOLS) {
  t.test(`${protocol}: server_name: a ticket resumes only under the name for which it was issued`, async (t) => {
    const server = await start(t, {})
    const { ledger, port } = server
    const named = await issue(server, protocol, { servername: 'a.test' })
    const nameless = await issue(server, protocol)
    await refused(t, server, 'server_name', { protocol, session: named, servername: 'b.test' })
    await refused(t, server, 'server_name', { protocol, session: named })
    await refused(t, server, 'server_name', { protocol, session: nameless, servername: 'a.test' })
    for (const servername of ['a.test', 'A.tesT', 'a.test.']) {
      await ledger.step(servername, resumed(protocol), () =>
        connect({ port, protocol, session: named, servername, rejectUnauthorized: false })
      )
    }
  })

  t.test(`${protocol}: without bindServerName a ticket resumes under any name`, async (t) => {
    const server = await start(t, { bindServerName: false })
    const session = await issue(server, protocol, { servername: 'a.test' })
    for (const name of [{ servername: 'b.test' }, {}]) {
      await server.ledger.step('another name', resumed(protocol), () => connect({ port: server.port, protocol, session, ...name }))
    }
  })
}
