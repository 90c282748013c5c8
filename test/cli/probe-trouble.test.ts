import { randomBytes } from 'node:crypto'
import { createServer } from 'node:net'
import type { Server } from 'node:net'
import { createSecureContext, createServer as createTlsServer } from 'node:tls'
import type { TlsOptions } from 'node:tls'
import t from 'tap'
import { handshake } from '../../lib/cli/probe/handshake.js'
import type { Client } from '../../lib/cli/probe/handshake.js'
import type { Protocol } from '../../lib/cli/probe/report.js'
import { renderReport } from '../../lib/cli/probe/table.js'
import { serverCert } from '../helpers/certs.js'
import { serve } from '../helpers/managed.js'
import { probeLocal } from '../helpers/probe.js'
import { closeAll, listen, plainHttps } from '../helpers/server.js'

t.afterEach(closeAll)

const { key, cert, ca } = await serverCert()
const shared: TlsOptions = { ticketKeys: randomBytes(48), sessionIdContext: 'one service' }
const CLIENT: Omit<Client, 'port'> = {
  address: '127.0.0.1',
  servername: null,
  protocol: 'TLSv1.3',
  context: createSecureContext({ ca: ca.cert }),
  verify: true,
  verifyName: true,
  alpn: [],
  http: true,
  timeout: 5000
}
const CUT = 'Client network socket disconnected before secure TLS connection was established'

/** Cuts the connections of a server that `which` names, counted from 1, before any TLS. */
function cut (server: Server, which: (count: number) => boolean): void {
  let connections = 0
  server.on('connection', (socket) => { if (which(++connections)) socket.destroy() })
}

t.test('the probe stops after three failed connections in a row, or if the first connection of a series fails', async (t) => {
  const cases: Array<[number, object, string]> = [
    [4, { usedOnce: { connections: 7, failed: 3 }, newest: { connections: 0 } }, '2/7 28.6 %  -  -'],
    [
      9,
      { usedOnce: { connections: 9, failed: 0 }, newest: { connections: 1, failed: 1 }, same: { connections: 0 } },
      '6/9 66.7 %  0/1 0.0 %  -'
    ],
    [
      20,
      { newest: { connections: 9, failed: 0 }, same: { connections: 5, failed: 3 } },
      '6/9 66.7 %  8/9 88.9 %  1/5 20.0 %'
    ]
  ]
  for (const [served, tallies, row] of cases) {
    const { server, port } = await plainHttps(shared)
    cut(server, (count) => count > served)
    const report = await probeLocal([port], { protocols: ['TLSv1.3'] })
    t.match(report.results, [{ status: 'broken off', ok: false, error: CUT, ...tallies }], `after ${served}`)
    t.strictSame(report.problems, [`127.0.0.1:${port}: connections kept failing: ${CUT}`])
    t.match(renderReport(report).replace(/ {2,}/g, '  '), row)
  }
})

t.test('a single failed connection is reported, and the other connections are counted', async (t) => {
  const { server, port } = await plainHttps(shared)
  cut(server, (count) => count === 5)
  const report = await probeLocal([port], { protocols: ['TLSv1.2'] })
  t.match(report.results, [{ status: 'probed', ok: false, usedOnce: { connections: 9, failed: 1 }, newest: { resumed: 8, failed: 0 } }])
  t.strictSame(report.problems, [`127.0.0.1:${port}: some connections failed: ${CUT}`])
})

t.test('an address whose connections fail in the cross-check is not reported to have other keys', async (t) => {
  const [first, second] = [await plainHttps(shared), await plainHttps(shared)]
  cut(second.server, (count) => count > 3 * 3)
  const report = await probeLocal([first.port, second.port], { connections: 3, protocols: ['TLSv1.2'], together: true })
  t.match(report.results, [{ ok: true }, { ok: true }])
  t.match(report.acrossAddresses, [{ shown: 3, resumed: 0, error: CUT }, { shown: 0, resumed: 0, error: CUT }])
  t.equal(report.ok, false)
  t.strictSame(report.problems, [
    `tickets of 127.0.0.1:${first.port} shown to 127.0.0.1:${second.port}: 0 of 3 resumed; ${CUT}`,
    `tickets of 127.0.0.1:${second.port} shown to 127.0.0.1:${first.port}: 0 of 0 resumed; ${CUT}`
  ])
})

t.test('while only one of two hosts has the new key, its tickets resume at one host only, and those of the other at both', async (t) => {
  const [old, fresh] = [randomBytes(80), randomBytes(80)]
  const [ahead, behind] = [
    await serve(t, { source: { type: 'static', keys: [fresh, old] } }),
    await serve(t, { source: { type: 'static', keys: [old] } })
  ]
  const report = await probeLocal([ahead.port, behind.port], { connections: 2, protocols: ['TLSv1.3'], together: true })
  t.match(report.acrossAddresses, [{ shown: 3, resumed: 0, error: null }, { shown: 3, resumed: 3, error: null }])
  t.strictSame(report.problems, [`tickets of 127.0.0.1:${ahead.port} shown to 127.0.0.1:${behind.port}: 0 of 3 resumed`])
})

t.test('two unrelated servers behind one address: some connections resume, and renewal is not named as the cause', async (t) => {
  const servers = [(await serve(t)).server, (await serve(t)).server]
  let connections = 0
  const balancer = createServer((socket) => { servers[(connections++ >> 1) % 2]?.emit('connection', socket) })
  const port = await listen(balancer)
  for (const [protocol, ticket] of [['TLSv1.2', 'the newest ticket'], ['TLSv1.3', 'each ticket used once']] as Array<[Protocol, string]>) {
    connections = 0
    const report = await probeLocal([port], { protocols: [protocol] })
    t.match(report.results, [{ status: 'probed', ok: false, error: null }])
    t.strictSame(report.problems, [`127.0.0.1:${port}: only 4 of 9 connections resumed with ${ticket}`])
  }
})

t.test('while keys rotate, every connection but the first resumes, and TLS 1.2 tickets are renewed sometimes', async (t) => {
  const { keys, server, port } = await serve(t)
  const rotations: Array<Promise<unknown>> = []
  let connections = 0
  server.on('connection', () => { if (++connections % 4 === 0) rotations.push(keys.rotate()) })
  const report = await probeLocal([port])
  await Promise.all(rotations)
  t.match(report, {
    ok: true,
    problems: [],
    results: [
      { renewal: 'sometimes', newest: { resumed: 8 } },
      { renewal: 'always', usedOnce: { resumed: 8 } }
    ]
  })
  t.match(renderReport(report), /TLSv1\.2 .* sometimes +2h, then not said +yes\n.*TLSv1\.3 .* always +2h +yes\n/)
})

t.test('a probe that was itself blocked does not mistake that for silence of the server', async (t) => {
  const { server, port } = await plainHttps({ ...shared, sessionTimeout: 1234 })
  // The server is in this process: the client has finished its handshake, and its tickets are on the way.
  server.on('secureConnection', () => {
    const end = performance.now() + 700
    while (performance.now() < end);
  })
  const { tickets } = await handshake({ ...CLIENT, port, http: false })
  t.strictSame(tickets.map(({ lifetimeHint }) => lifetimeHint), [1234, 1234])
})

t.test('the probe leaves a server that never stops sending when the time for a connection is over', async (t) => {
  const port = await listen(createTlsServer({ key, cert }, (socket) => {
    const timer = setInterval(() => { socket.write('more') }, 50)
    socket.on('error', () => {}).on('close', () => { clearInterval(timer) }).resume()
  }))
  const outcome = await handshake({ ...CLIENT, port, timeout: 800 })
  t.match(outcome, { resumed: false, tickets: { length: 2 } })
})
