import { X509Certificate, randomBytes } from 'node:crypto'
import t from 'tap'
import type { RevocationConditions } from '../../lib/manager/revocation-conditions.js'
import { metricsRegistry } from '../../lib/metrics/register.js'
import { makeCa } from '../helpers/certs.js'
import { connect, connectH2, PROTOCOLS, type Exchange } from '../helpers/client.js'
import { manage, serve, type Managed } from '../helpers/managed.js'
import { parseMetrics } from '../helpers/metrics.js'
import { closeAll, plainHttp2, plainHttps } from '../helpers/server.js'

t.teardown(closeAll)

/** The series of the metrics page that begin with `prefix`. */
async function series ({ keys }: Managed, prefix: string): Promise<Record<string, number>> {
  const page = parseMetrics(await metricsRegistry(keys, 'text').metrics())
  return Object.fromEntries([...page].filter(([name]) => name.startsWith(prefix)))
}

const clients = makeCa('clients').then(async (ca) => {
  const [alice, bob] = await Promise.all(['alice', 'bob'].map(async (name) => await ca.issue({ name, client: true })))
  if (alice === undefined || bob === undefined) throw new Error('no certificates')
  return { ca, alice, bob }
})

for (const protocol of PROTOCOLS) {
  for (const [name, start, via] of [['HTTP/1.1', plainHttps, connect], ['HTTP/2', plainHttp2, connectH2]] as const) {
    t.test(`${protocol}, ${name}: revokeSessions() ends the sessions that meet all conditions, and no others`, async (t) => {
      const { ca, alice, bob } = await clients
      const { port, keys } = await serve(t, {
        sessionData: ({ chain: [der] }) => Buffer.from(new X509Certificate(der as Buffer).subject.replace('CN=', 'user '))
      }, async () => await (start as typeof plainHttps)({ requestCert: true, ca: ca.cert }))
      const parties = [[alice, 'a.test'], [alice, 'b.test'], [bob, 'a.test'], [bob, 'b.test']] as const
      const fingerprint256 = new X509Certificate(alice.cert).fingerprint256
      const cases: Array<[RevocationConditions, string]> = [
        [{ fingerprint256 }, '1100'],
        [{ serverName: 'A.test.' }, '1010'],
        [{ dataPrefix: Buffer.from('user b') }, '0011'],
        [{ dataPrefix: Buffer.from('user bob and more') }, '0000'],
        [{ fingerprint256: fingerprint256.toLowerCase(), serverName: 'b.test' }, '0100'],
        [{ serverName: 'b.test', dataPrefix: Buffer.from('user') }, '0101'],
        [{ before: Date.now() - 60_000 }, '0000'],
        [{ before: Date.now() - 60_000, fingerprint256 }, '0000'],
        [{}, '1111']
      ]
      for (const [conditions, expected] of cases) {
        const sessions: Exchange[] = []
        for (const [client, servername] of parties) sessions.push(await via({ port, protocol, ...client, servername }))
        const now = Date.now()
        const { until } = await keys.revokeSessions(conditions)
        t.ok(conditions.before === undefined ? until >= now - 1000 : until === conditions.before)
        let ended = ''
        for (const [i, [client, servername]] of parties.entries()) {
          const { reused } = await via({ port, protocol, ...client, servername, session: sessions[i]?.session })
          ended += reused ? '0' : '1'
        }
        t.equal(ended, expected, Object.keys(conditions).join() || 'all')
      }
      t.equal(keys.stats().rejected[protocol].session_revoked, 13)
      // A revocation covers the sessions of that time. Conditions that were met again begin anew.
      const again = await via({ port, protocol, ...alice, servername: 'a.test' })
      t.equal((await via({ port, protocol, ...alice, servername: 'a.test', session: again.session })).reused, true)
    })
  }

  t.test(`${protocol}: sessions without a certificate or data meet no condition about them`, async (t) => {
    const { port, keys } = await serve(t)
    const { session } = await connect({ port, protocol, servername: 'a.test' })
    await keys.revokeSessions({ fingerprint256: new X509Certificate((await clients).alice.cert).fingerprint256 })
    await keys.revokeSessions({ dataPrefix: Buffer.from([0]) })
    t.equal((await connect({ port, protocol, servername: 'a.test', session })).reused, true)
  })

  t.test(`${protocol}: rotate({ revoke: true }) drops every key, the next ones too`, async (t) => {
    const { port, keys } = await serve(t)
    const before = keys.status().keys.map(({ id }) => id)
    const { session } = await connect({ port, protocol })
    const now = Date.now()
    const { at } = await keys.rotate({ revoke: true })
    t.ok(at >= now && at <= Date.now())
    t.strictSame(keys.status().keys.filter(({ id }) => before.includes(id)), [])
    const refused = await connect({ port, protocol, session })
    t.equal(refused.reused, false)
    t.equal(keys.stats().rejected[protocol].unknown_key, 1)
    t.equal((await connect({ port, protocol, session: refused.session })).reused, true)
  })
}

t.test('each revocation has an event, a log line and metrics', async (t) => {
  const managed = await manage(t)
  const { keys, log } = managed
  t.strictSame(await series(managed, 'tls_ticket_sessions_revoked_timestamp_seconds'), {})
  const events: unknown[] = []
  keys.on('revocation', (event) => events.push(event))
  const fingerprint256 = Array.from({ length: 32 }, () => 'AB').join(':')
  const all: RevocationConditions[] = [
    { fingerprint256, serverName: 'a.test' }, { serverName: 'a.test', dataPrefix: Buffer.from('a') }, { dataPrefix: Buffer.from('a') }, {}
  ]
  for (const conditions of all) {
    const { until } = await keys.revokeSessions(conditions)
    t.strictSame(events.at(-1), { until, conditions })
  }
  t.strictSame(await series(managed, 'tls_ticket_revocations'), {
    tls_ticket_revocations: 3,
    'tls_ticket_revocations_total{condition="fingerprint"}': 1,
    'tls_ticket_revocations_total{condition="server_name"}': 1,
    'tls_ticket_revocations_total{condition="data"}': 1,
    'tls_ticket_revocations_total{condition="all"}': 1
  })
  const { until } = events.at(-1) as { until: number }
  t.strictSame(await series(managed, 'tls_ticket_sessions_revoked_timestamp_seconds'),
    { tls_ticket_sessions_revoked_timestamp_seconds: until / 1000 })
  t.match(log.of('info').filter((line) => line.includes('revoked')), [/fingerprint256, serverName/, /serverName/, /dataPrefix/, /none/])
  t.notMatch(log.of('info').join(), /AB:AB/, 'no values')
})

t.test('an entry lives as long as a session could, and no longer', async (t) => {
  const { keys, clock } = await manage(t, { maxSessionAge: '2h' })
  await keys.revokeSessions({ serverName: 'a.test' })
  await keys.revokeSessions({ serverName: 'a.test' })
  t.equal(keys.status().revocations, 1, 'equal conditions are one entry')
  clock.step(7_100_000)
  await keys.revokeSessions({ serverName: 'b.test' })
  t.equal(keys.status().revocations, 2)
  clock.step(200_000)
  t.equal(keys.status().revocations, 1)
  clock.step(7_200_000)
  t.equal(keys.status().revocations, 0)
})

t.test('100,000 revocations fit into memory. One more revokes every session authenticated until then', async (t) => {
  const { port, keys, log } = await serve(t, { sessionData: () => Buffer.from('user alice') })
  const { session } = await connect({ port })
  for (let i = 0; i < 100_000; i++) await keys.revokeSessions({ dataPrefix: Buffer.from(`user ${i}`) })
  t.equal(keys.status().revocations, 100_000)
  t.equal((await connect({ port, session })).reused, true)
  t.strictSame(log.of('warn'), [])
  const { until } = await keys.revokeSessions({ serverName: 'one.more' })
  t.equal(keys.status().revocations, 0)
  t.match(log.of('warn'), [/too many revocations/])
  t.ok(until <= Date.now())
  t.equal((await connect({ port, session })).reused, false)
})

t.test('wrong conditions are errors, all in one', async (t) => {
  const { keys } = await manage(t)
  const code = 'FST_TICKET_KEYS_OPTIONS'
  for (const [name, values] of Object.entries({
    before: [Date.now() + 60_000, -1, NaN, '1'],
    serverName: ['', '.', 'a b', 'ä.test', 'a'.repeat(256), 7],
    fingerprint256: ['AB', Array.from({ length: 31 }, () => 'AB').join(':'), 7],
    dataPrefix: [Buffer.alloc(0), Buffer.alloc(513), 'user'],
    server: ['a.test']
  })) {
    for (const value of values) await t.rejects(keys.revokeSessions({ [name]: value }), { code, message: new RegExp(name) })
  }
  for (const wrong of [null, 'all'] as unknown as RevocationConditions[]) await t.rejects(keys.revokeSessions(wrong), { code })
  await t.rejects(keys.revokeSessions({ serverName: '', before: NaN }), { code, message: /before .*; serverName / })
  t.equal(keys.status().revocations, 0)
  await keys.close()
  await t.rejects(keys.revokeSessions(), { code: 'FST_TICKET_KEYS_CLOSED' })
})

t.test('sources that do not make their own keys cannot replace them', async (t) => {
  const { keys } = await manage(t, { source: { type: 'secret', secret: randomBytes(48).toString('base64') } })
  await t.rejects(keys.rotate({ revoke: true }), { code: 'FST_TICKET_KEYS_ROTATE' })
})
