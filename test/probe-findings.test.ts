import { randomBytes } from 'node:crypto'
import { createServer } from 'node:https'
import { createServer as createTlsServer, type TlsOptions } from 'node:tls'
import t, { type Test } from 'tap'
import { setTicketKeyCallback, TicketStatus, type CallbackKey, type TicketStatusCode } from '../lib/callback.js'
import type { ProbeOptions } from '../lib/cli/probe/cases.js'
import { probe } from '../lib/cli/probe/probe.js'
import { progressPrinter } from '../lib/cli/probe/progress.js'
import type { Crossing, ProbeResult, Report } from '../lib/cli/probe/report.js'
import { renderReport } from '../lib/cli/probe/table.js'
import { serverCert } from './helpers/certs.js'
import { serve } from './helpers/managed.js'
import { closeAll, listen, plainHttps } from './helpers/server.js'

// What probing finds out about servers that are neither all good nor all bad.

t.afterEach(closeAll)

const { key, cert, ca } = await serverCert()
const shared: TlsOptions = { ticketKeys: randomBytes(48), sessionIdContext: 'one service' }

async function probeLocal (ports: number[], options: ProbeOptions = {}): Promise<Report> {
  return await probe(ports.map((port) => `127.0.0.1:${port}`), { ca: ca.cert, connections: 9, ...options })
}

/** A server that breaks off its connections with these numbers, counted from 0. */
async function breaksOff (...numbers: number[]): Promise<number> {
  const { server, port } = await plainHttps(shared)
  let connections = 0
  server.on('connection', (socket) => { if (numbers.includes(connections++)) socket.destroy() })
  return port
}

/** A server that answers each ticket shown to it with the next of these, over and over. */
async function answers (t: Test, ...statuses: TicketStatusCode[]): Promise<number> {
  const { server, port } = await plainHttps()
  const ticketKey: CallbackKey = { name: randomBytes(16), aesKey: randomBytes(32), hmacKey: randomBytes(32) }
  let shown = 0
  const set = setTicketKeyCallback(server, ({ operation }) => {
    const status = operation === 'issue' ? TicketStatus.Accept : statuses[shown++ % statuses.length] as TicketStatusCode
    return { status, key: ticketKey }
  })
  t.ok(set)
  return port
}

t.test('a server that renews some tickets only', async (t) => {
  const port = await answers(t, TicketStatus.Renew, TicketStatus.Renew, TicketStatus.Accept, TicketStatus.Accept)
  const report = await probeLocal([port], { protocols: ['TLSv1.3'] })
  const { renewal, usedOnce, ok } = report.results[0] as ProbeResult
  t.same({ renewal, ok }, { renewal: 'sometimes', ok: false })
  t.ok(usedOnce.full > 1)
  t.match(report.problems, [new RegExp(`: only ${usedOnce.resumed} of 9 connections resumed with each ticket used once$`)])
})

t.test('a server that accepts some tickets only', async (t) => {
  const port = await answers(t, TicketStatus.Accept, TicketStatus.Accept, TicketStatus.None)
  const report = await probeLocal([port], { protocols: ['TLSv1.2'] })
  const { newest, ok } = report.results[0] as ProbeResult
  t.ok(newest.resumed > 0 && newest.full > 1 && newest.failed === 0)
  t.equal(ok, false)
  t.match(report.problems, [new RegExp(`: only ${newest.resumed} of 9 connections resumed with the newest ticket$`)])
})

t.test('a server that fails once, and one that fails for good in the second series', async (t) => {
  const once = await probeLocal([await breaksOff(4)], { protocols: ['TLSv1.3'] })
  t.match(once.results, [{ status: 'probed', ok: false, usedOnce: { connections: 9, failed: 1 } }])
  t.match(once.problems, [/: some connections failed: /])
  const forGood = await probeLocal([await breaksOff(11, 12, 13)], { protocols: ['TLSv1.2'] })
  t.match(forGood.results, [{
    status: 'broken off', usedOnce: { connections: 9, failed: 0 }, newest: { connections: 5, failed: 3 }, same: { connections: 0 }
  }])
  t.match(renderReport(forGood), / 1\/5 20\.0 % +- +never /)
})

t.test('a server that goes on sending is left after the timeout, with what it has shown', async (t) => {
  const port = await listen(createTlsServer({ key, cert, ...shared }, (socket) => {
    const sending = setInterval(() => { socket.write('x') }, 20)
    socket.resume().on('error', () => {}).on('close', () => { clearInterval(sending) })
  }))
  const report = await probeLocal([port], { http: false, timeout: 400, connections: 2, protocols: ['TLSv1.3'] })
  t.match(report.results, [{ status: 'probed', error: null, ticketsPerFullHandshake: 2, usedOnce: { connections: 2, resumed: 1, failed: 0 } }])
})

t.test('two hosts of which one lacks the other\'s new key share in one direction', async (t) => {
  const [newKey, oldKey] = [randomBytes(80), randomBytes(80)]
  const ahead = await serve(t, { source: { type: 'static', keys: [newKey, oldKey] } })
  const behind = await serve(t, { source: { type: 'static', keys: [oldKey] } })
  const report = await probeLocal([ahead.port, behind.port], { together: true, protocols: ['TLSv1.3'] })
  t.strictSame(report.acrossAddresses.map(({ shown, resumed }) => [shown, resumed]), [[3, 0], [3, 3]])
  t.strictSame(report.problems, [`tickets of 127.0.0.1:${ahead.port} shown to 127.0.0.1:${behind.port}: 0 of 3 resumed`])
  t.equal(behind.keys.stats().rejected['TLSv1.3'].unknown_key, 3)
})

t.test('a host that is gone when tickets are shown to it', async (t) => {
  const staying = await plainHttps(shared)
  // Three series of two connections each are its own.
  const leaving = await breaksOff(6, 7, 8, 9, 10, 11)
  const report = await probeLocal([staying.port, leaving], { together: true, connections: 2, protocols: ['TLSv1.2'] })
  t.match(report.acrossAddresses, [{ shown: 3, resumed: 0, error: String }, { shown: 0, resumed: 0, error: String }])
  const [{ error } = { error: null }] = report.acrossAddresses
  t.equal(report.problems.length, 1)
  t.equal(report.problems[0]?.endsWith(`; ${error}`), true)
})

t.test('three addresses of one service, which share: one line for each, not one for each pair', async (t) => {
  const ports = [1, 2, 3].map(async () => (await plainHttps(shared)).port)
  const report = await probeLocal(await Promise.all(ports), { together: true, connections: 2, protocols: ['TLSv1.2'] })
  t.equal(report.acrossAddresses.length, 6)
  t.equal(renderReport(report).match(/ all 2 others +- +TLSv1\.2 +6 of 6$/gm)?.length, 3)
})

t.test('one address by name and by number: both are shown, the latter without a server name', async (t) => {
  const { port } = await plainHttps(shared)
  const report = await probe([`a.test:${port}`, `127.0.0.1:${port}`], { ca: ca.cert, lookup: async () => ['127.0.0.1'], connections: 2, protocols: ['TLSv1.2'] })
  t.match(renderReport(report), /^127\.0\.0\.1:\d+ +a\.test +- +TLSv1\.2 +3 of 3\n127\.0\.0\.1:\d+ +- +a\.test +TLSv1\.2 +3 of 3$/m)
})

t.test('an IPv6 address has brackets, in the table and in the request', async (t) => {
  const hosts: Array<string | undefined> = []
  const server = createServer({ key, cert, ...shared }, (request, response) => {
    hosts.push(request.headers.host)
    response.end()
  })
  const port = await listen(server, '::1')
  const report = await probe([`[::1]:${port}`], { insecure: true, connections: 2, protocols: ['TLSv1.3'] })
  t.match(report.results, [{ address: '::1', status: 'probed' }])
  t.match(renderReport(report), new RegExp(`^\\[::1\\]:${port} +- +TLSv1\\.3 `, 'm'))
  t.same(new Set(hosts), new Set([`[::1]:${port}`]))
})

t.test('the table says what is not known, and every unit of lifetimes', (t) => {
  const tally = { connections: 2, resumed: 0, full: 2, failed: 0, share: 0 }
  const result: ProbeResult = {
    host: 'a.test',
    address: '127.0.0.1',
    port: 443,
    servername: 'a.test',
    protocol: 'TLSv1.3',
    status: 'probed',
    error: null,
    ticketsPerFullHandshake: 1.5,
    ticketsPerResumption: null,
    renewal: null,
    lifetimeHint: null,
    renewedLifetimeHint: null,
    ticketBytes: null,
    usedOnce: tally,
    newest: tally,
    same: tally,
    sameTicketTwice: null,
    ok: true
  }
  const lifetimes: Array<[issued: number | null, renewed: number | null, shown: string]> = [
    [null, null, '-'], [0, null, 'not said'], [7200, 7200, '2h'], [86_400, 60, '1d, then 1m'], [61, 0, '61s, then not said']
  ]
  const results = lifetimes.map(([lifetimeHint, renewedLifetimeHint]) => ({ ...result, lifetimeHint, renewedLifetimeHint }))
  const [, ...rows] = renderReport({ ok: true, connections: 2, results, acrossAddresses: [], acrossNames: [], problems: [] }).split('\n')
  for (const [index, [, , shown]] of lifetimes.entries()) {
    t.equal(rows[index]?.replaceAll(/ {2,}/g, '|'), `127.0.0.1:443|a.test|TLSv1.3|1.5|0/2 0.0 %|0/2 0.0 %|0/2 0.0 %|-|${shown}|yes`)
  }
  const crossing: Crossing = { from: { address: 'a', servername: 'a.test' }, to: { address: 'b', servername: 'a.test' }, protocol: 'TLSv1.3', shown: 3, resumed: 2, error: null }
  const text = renderReport({ ok: false, connections: 2, results, acrossAddresses: [crossing, { ...crossing, to: { address: 'c', servername: 'a.test' } }], acrossNames: [], problems: ['x'] })
  t.match(text, /^a +b +a\.test +TLSv1\.3 +2 of 3\na +c +a\.test +TLSv1\.3 +2 of 3$/m, 'those that share in part have a line each')
  t.end()
})

t.test('progress on a terminal that says no width is cut at 80 columns', (t) => {
  let text = ''
  progressPrinter({ isTTY: true, write: (part) => { text += part } }).show({ done: 0, total: 1, step: 'x'.repeat(100) })
  t.equal(text, `\r\x1b[K${'0 % of 1 connections: '.padEnd(79, 'x')}`)
  t.end()
})
