import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { TlsOptions } from 'node:tls'
import t from 'tap'
import { REASONS } from '../../lib/native/types.js'
import { makeCa } from '../helpers/certs.js'
import type { KeyPair } from '../helpers/certs.js'
import { PROTOCOLS, ticketLifetimeHint, withLongLife } from '../helpers/client.js'
import type { Protocol } from '../helpers/client.js'
import { manage } from '../helpers/managed.js'
import { mutualServer, visit } from '../helpers/mutual.js'
import type { MutualServer, Outcome } from '../helpers/mutual.js'
import { closeAll } from '../helpers/server.js'

t.teardown(closeAll)

/** s for which what is short-lived here is good: long enough for a busy machine to do some handshakes. */
const LIFE = 15

const ca = await makeCa('CA')
const end = new Date((Math.ceil(Date.now() / 1000) + LIFE) * 1000)
const shortLived = await ca.intermediate('intermediate', { notAfter: end })
const [leaf, underShortLived, longLived, crl] = await Promise.all([
  ca.issue({ name: 'alice', client: true, notAfter: end }),
  shortLived.issue({ name: 'alice', client: true }),
  ca.issue({ name: 'alice', client: true }),
  ca.crl([], end)
])

const demands: TlsOptions = { requestCert: true, rejectUnauthorized: true, ca: ca.cert }
const CASES: Record<string, { client: KeyPair, server: TlsOptions, ends: boolean }> = {
  "the client's certificate ends": { client: leaf, server: demands, ends: true },
  'an intermediate certificate ends': { client: underShortLived, server: demands, ends: true },
  'the revocation list ends': { client: longLived, server: { ...demands, crl }, ends: true },
  'nothing ends': { client: longLived, server: demands, ends: false }
}
const RESUMED: Outcome = { reused: true, authorized: true, peer: 'alice' }
const plainKeys = { ticketKeys: randomBytes(48), sessionIdContext: 'shared' }

interface Made {
  show: (resume: boolean) => Promise<Outcome>
  session: Buffer
  before: Outcome
}

async function make ({ port }: MutualServer, client: KeyPair, protocol: Protocol): Promise<Made> {
  const options = { port, protocol, ...client }
  const first = await visit(options)
  const session = first.session ?? Buffer.alloc(0)
  const show = async (resume: boolean): Promise<Outcome> =>
    (await visit({ ...options, session: resume ? withLongLife(session) : undefined })).outcome
  return { show, session, before: await show(true) }
}

const cases = await Promise.all(Object.entries(CASES).flatMap(([name, { client, server, ends }]) => PROTOCOLS.map(async (protocol) => {
  const { keys } = await manage(t)
  const managed = await mutualServer(server)
  keys.attach(managed.server)
  return {
    name: `${protocol}: ${name}`,
    ends,
    protocol,
    keys,
    plain: await make(await mutualServer({ ...server, ...plainKeys }), client, protocol),
    managed: await make(managed, client, protocol)
  }
})))
const ready = Date.now()
await sleep(Math.max(0, end.getTime() - ready) + 50)

for (const { name, ends, protocol, keys, plain, managed } of cases) {
  t.test(name, async (t) => {
    t.ok(ready < end.getTime() - 1000, 'the tickets were issued in time')
    t.strictSame([plain.before, managed.before], [RESUMED, RESUMED], 'before the expiry, both resume')
    const full = await managed.show(false)
    t.strictSame(full, ends ? 'refused' : { ...RESUMED, reused: false }, 'a full handshake, after the expiry')
    t.strictSame(await plain.show(true), RESUMED, 'a ticket after the expiry, plain Node.js')
    t.strictSame(await managed.show(true), ends ? full : RESUMED, 'a ticket after the expiry, managed')
    const { rejected } = keys.stats()
    t.strictSame(REASONS.filter((reason) => rejected[protocol][reason] !== 0), ends ? ['client_certificate'] : [])
    t.equal(rejected[protocol].client_certificate, ends ? 1 : 0)
    // The ticket says so itself, to clients that listen.
    const life = ticketLifetimeHint(managed.session)
    if (ends) t.ok(life > 0 && life <= LIFE + 1, `the ticket was made for ${life} s`)
    else t.equal(life, 7200)
  })
}
