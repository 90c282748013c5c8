import { randomBytes } from 'node:crypto'
import { createServer as createHttpsServer } from 'node:https'
import { createServer } from 'node:net'
import { createSecureContext, createServer as createTlsServer } from 'node:tls'
import t from 'tap'
import { handshake } from '../../lib/cli/probe/handshake.js'
import { probe } from '../../lib/cli/probe/probe.js'
import type { Protocol, Report } from '../../lib/cli/probe/report.js'
import { renderReport } from '../../lib/cli/probe/table.js'
import { serve } from '../helpers/managed.js'
import { probeLocal } from '../helpers/probe.js'
import { freePort, haproxy, nginx } from '../helpers/real-servers.js'
import { closeAll, listen, plainHttps } from '../helpers/server.js'
import { ca, cert, key, shared } from '../helpers/probe-service.js'

t.afterEach(closeAll)

/** The main findings about the one result of a protocol. */
function found (report: Report, protocol: Protocol): object | undefined {
  return report.results.filter((result) => result.protocol === protocol).map((result) => ({
    tickets: result.ticketsPerFullHandshake,
    resumed: [result.usedOnce.resumed, result.newest.resumed, result.same.resumed],
    renewal: result.renewal,
    lifetimes: [result.lifetimeHint, result.renewedLifetimeHint],
    twice: result.sameTicketTwice,
    ok: result.ok
  }))[0]
}

const TLS12 = { tickets: 1, resumed: [15, 29, 29], renewal: 'never', twice: true, ok: true }

const RENEWING = { tickets: 2, resumed: [29, 29, 29], renewal: 'always', twice: true, ok: true }

const NOT_RENEWING = { tickets: 2, resumed: [20, 29, 29], renewal: 'never', twice: true, ok: false }

t.test('plain Node.js: over TLS 1.3, a client that uses tickets once resumes 2 connections of 3', async (t) => {
  const { port } = await plainHttps({ ...shared, sessionTimeout: 1234 })
  const report = await probeLocal([port], { connections: 30 })
  t.strictSame(found(report, 'TLSv1.2'), { ...TLS12, lifetimes: [1234, null] })
  t.strictSame(found(report, 'TLSv1.3'), { ...NOT_RENEWING, lifetimes: [1234, null] })
  t.equal(report.ok, false)
  t.match(report.problems, [/\(TLSv1\.3\): only 20 of 30 .* resumed handshakes give no new ticket$/])
  t.match(renderReport(report), /TLSv1\.3 +2 +20\/30 66\.7 % +29\/30 96\.7 % +29\/30 96\.7 % +never +1234s +no\n/)
})

t.test('a server with managed keys: every connection but the first resumes', async (t) => {
  const { port } = await serve(t)
  const report = await probeLocal([port], { connections: 30 })
  t.strictSame(found(report, 'TLSv1.2'), { ...TLS12, lifetimes: [7200, null] })
  t.strictSame(found(report, 'TLSv1.3'), { ...RENEWING, lifetimes: [7200, 7200] })
  t.strictSame(report.problems, [])
  t.equal(report.ok, true)
  const other = await serve(t)
  t.match((await probeLocal([port, other.port], { together: true })).problems, [/share/], 'two servers with their own keys do not share')
})

t.test('nginx: every connection but the first resumes, and none resumes without stored keys', async (t) => {
  const { ports: [on = 0, off = 0] } = await nginx(t, ['ssl_session_tickets on;', 'ssl_session_tickets off;'])
  const report = await probeLocal([on], { connections: 30 })
  t.strictSame(found(report, 'TLSv1.2'), { ...TLS12, lifetimes: [300, null] })
  t.strictSame(found(report, 'TLSv1.3'), { ...RENEWING, lifetimes: [300, 300] })
  t.equal(report.ok, true)
  t.match(renderReport(report), /\n\nAll returning connections resume\.\n$/)
  const none = await probeLocal([off])
  t.match(none.problems, [/\(TLSv1\.2\): it issues no tickets$/, /\(TLSv1\.3\): it issues tickets, but not one resumes$/])
  t.match(renderReport(none), /TLSv1\.2 +0 +(0\/9 0\.0 % +){3}- +- +no\n.*TLSv1\.3 +2 +(0\/9 0\.0 % +){3}- +5m +no\n/)
})

t.test('HAProxy renews without tls-ticket-keys, and with them 2 connections of 3 resume', async (t) => {
  const lines = Array.from({ length: 3 }, () => `${randomBytes(48).toString('base64')}\n`).join('')
  const { ports: [own = 0, keys = 0] } = await haproxy(t, ['', 'tls-ticket-keys DIRECTORY/keys.txt'], { 'keys.txt': Buffer.from(lines) })
  const ownReport = await probeLocal([own], { connections: 30 })
  t.strictSame(found(ownReport, 'TLSv1.2'), { ...TLS12, lifetimes: [7200, null] })
  t.strictSame(found(ownReport, 'TLSv1.3'), { ...RENEWING, lifetimes: [7200, 7200] })
  const keysReport = await probeLocal([keys], { connections: 30 })
  t.strictSame(found(keysReport, 'TLSv1.2'), { ...TLS12, lifetimes: [7200, null] })
  t.strictSame(found(keysReport, 'TLSv1.3'), { ...NOT_RENEWING, lifetimes: [7200, null] })
})

t.test('a renewed TLS 1.2 ticket is found, although Node.js emits no event for it', async (t) => {
  const keys = { 'old.key': randomBytes(80), 'new.key': randomBytes(80) }
  const file = (name: string): string => `ssl_session_ticket_key DIRECTORY/${name};`
  const { ports: [before = 0, after = 0] } = await nginx(t, [file('old.key'), file('new.key') + file('old.key')], keys)
  const context = createSecureContext({ ca: ca.cert, maxVersion: 'TLSv1.2' })
  const client = {
    address: '127.0.0.1',
    servername: null,
    protocol: 'TLSv1.2' as const,
    context,
    verify: true,
    verifyName: true,
    alpn: [],
    http: false,
    timeout: 5000
  }
  const { tickets: [issued] } = await handshake({ ...client, port: before })
  const renewed = await handshake({ ...client, port: after }, issued)
  t.match(renewed, { resumed: true, tickets: { length: 1 } })
  t.match(await handshake({ ...client, port: after }, renewed.tickets[0]), { resumed: true, tickets: { length: 0 } })
  t.equal(issued?.lifetimeHint, 300)
})

t.test('two hosts share if they have the same keys and session ID context, and do not share with different keys', async (t) => {
  const first = await plainHttps(shared)
  const second = await plainHttps(shared)
  const otherKeys = await plainHttps({ sessionIdContext: 'one service' })
  const otherContext = await plainHttps({ ...shared, sessionIdContext: 'another' })
  const together = { protocols: ['TLSv1.2' as const], together: true }
  const sharing = await probeLocal([first.port, second.port], together)
  t.strictSame(sharing.acrossAddresses.map(({ shown, resumed }) => [shown, resumed]), [[3, 3], [3, 3]])
  t.equal(sharing.ok, true)
  t.match(renderReport(sharing), /All returning connections resume, and the addresses share their keys\.\n$/)
  for (const { port } of [otherKeys, otherContext]) {
    const report = await probeLocal([first.port, port], together)
    t.strictSame(report.acrossAddresses.map(({ shown, resumed }) => [shown, resumed]), [[3, 0], [3, 0]])
    t.match(report.problems, [new RegExp(`^127.0.0.1:${first.port} and 127.0.0.1:${port} do not share keys: none of 6 tickets`)])
    t.equal(report.ok, false)
  }
  t.match(
    renderReport(await probeLocal([first.port, second.port, otherKeys.port], together)),
    /SHOWN TO +SERVER NAME +PROTOCOL +RESUMED\n.* 3 of 3\n/
  )
  const third = await plainHttps(shared)
  const three = renderReport(await probeLocal([first.port, second.port, third.port], together))
  t.match(
    three,
    /RESUMED(\n127\.0\.0\.1:\d+ +all 2 others +- +TLSv1\.2 +6 of 6){3}\n\n/,
    'addresses that share with all others have one line each'
  )
  t.strictSame(
    (await probeLocal([first.port, otherKeys.port], { protocols: ['TLSv1.2'] })).acrossAddresses,
    [],
    'two services need not share'
  )
})

t.test('all addresses of a name are probed, under each server name', async (t) => {
  const { port } = await plainHttps(shared)
  const other = createHttpsServer({ key, cert, ...shared }, (_request, response) => { response.end() }).listen(port, '127.0.0.2')
  t.teardown(() => { other.close() })
  const lookup = async (): Promise<string[]> => ['127.0.0.1', '127.0.0.2', '127.0.0.1']
  const report = await probe([`service.test:${port}`], {
    ca: ca.cert,
    lookup,
    servernames: ['a.test', 'B.test.'],
    connections: 4,
    protocols: ['TLSv1.3']
  })
  t.strictSame(report.results.map(({ address, servername }) => [address, servername]),
    [['127.0.0.1', 'a.test'], ['127.0.0.1', 'b.test'], ['127.0.0.2', 'a.test'], ['127.0.0.2', 'b.test']])
  t.equal(report.acrossAddresses.length, 4)
  t.ok(report.acrossAddresses.every(({ shown, resumed, from, to }) => shown === 3 && resumed === 3 && from.servername === to.servername))
  t.strictSame(report.acrossNames.map(({ from, to, resumed }) => [from.servername, to.servername, resumed]),
    [['a.test', 'b.test', 3], ['b.test', 'a.test', 3], ['a.test', 'b.test', 3], ['b.test', 'a.test', 3]])
  t.match(renderReport(report), /Tickets shown under another server name\nADDRESS +ISSUED FOR +SHOWN FOR/)
})

t.test('a server given by name and by address is probed under that name and without a server name', async (t) => {
  const { port } = await plainHttps(shared)
  const options = { ca: ca.cert, lookup: async () => ['127.0.0.1'], connections: 2, protocols: ['TLSv1.3' as const] }
  const report = await probe([`a.test:${port}`, `127.0.0.1:${port}`], options)
  t.strictSame(report.results.map(({ servername, usedOnce }) => [servername, usedOnce.resumed]), [['a.test', 1], [null, 1]])
  t.match(
    renderReport(report),
    new RegExp(`${port} +a\\.test +- +TLSv1\\.3 +3 of 3\n127\\.0\\.0\\.1:${port} +- +a\\.test +TLSv1\\.3 +3 of 3\n`)
  )
})

t.test('an IPv6 address has brackets in the report and in the request', async (t) => {
  const asked = new Set<string | undefined>()
  const port = await listen(createHttpsServer({ key, cert, ...shared }, (request, response) => {
    asked.add(request.headers.host)
    response.end()
  }), '::1')
  // Node.js 22.23 finds no IPv6 address in any certificate.
  for (const options of [{ insecure: true }, { servernames: ['a.test'] }]) {
    const report = await probe([`[::1]:${port}`], { ca: ca.cert, connections: 2, protocols: ['TLSv1.3'], ...options })
    t.match(report, { ok: true, results: [{ host: '::1', address: '::1', port }] })
    t.ok(renderReport(report).includes(`\n[::1]:${port}  `))
  }
  t.strictSame([...asked], [`[::1]:${port}`, `a.test:${port}`])
})

t.test('a server with only one TLS version is not a problem, unless the other version was asked for', async (t) => {
  const { port } = await plainHttps({ ...shared, maxVersion: 'TLSv1.2' })
  const report = await probeLocal([port])
  t.match(report, { ok: true, results: [{ status: 'probed' }, { status: 'unsupported', ok: true }] })
  t.match(await probeLocal([port], { protocols: ['TLSv1.3'] }), { ok: false, problems: [/it does not speak this version of TLS$/] })
})

t.test('without HTTP, the probe waits for the tickets', async (t) => {
  const port = await listen(createTlsServer({ key, cert, ...shared }, (socket) => { socket.resume().on('error', () => {}) }))
  for (const http of [true, false]) {
    const report = await probeLocal([port], { http, connections: 2, protocols: ['TLSv1.3'] })
    t.match(report.results, [{ ticketsPerFullHandshake: 2, usedOnce: { resumed: 1 } }], `http: ${http}`)
  }
})

t.test('unreachable servers are part of the report', async (t) => {
  const silent = await listen(createServer((socket) => { socket.resume() }))
  const { port } = await plainHttps(shared)
  const wantsCertificate = await plainHttps({ requestCert: true, rejectUnauthorized: true, ca: ca.cert })
  const closed = await freePort()
  const reasons: Array<[Promise<Report>, RegExp]> = [
    [probeLocal([closed]), /: no connection: connect ECONNREFUSED/],
    [probeLocal([silent], { timeout: 50 }), /: no connection: no TLS handshake within 50 ms$/],
    [probe([`127.0.0.1:${port}`]), /: no connection: .*certificate/],
    [probeLocal([port], { servernames: ['c.test'] }), /: no connection: .*c\.test/],
    [probe(['nowhere.test'], { lookup: async () => [] }), /^nowhere.test:443: no connection: nowhere.test has no address$/],
    [probeLocal([wantsCertificate.port], { protocols: ['TLSv1.3'] }), /: no connection: tlsv13 alert certificate required$/]
  ]
  for (const [pending, reason] of reasons) {
    const report = await pending
    t.match(report.problems, [reason])
    t.equal(report.ok, false)
    t.match(report.results, [{ status: 'unreachable', usedOnce: { connections: 1, failed: 1 } }])
    t.match(renderReport(report), /unreachable/)
  }
  t.equal((await probe([`127.0.0.1:${port}`], { insecure: true, connections: 2, protocols: ['TLSv1.2'] })).ok, true)
})
