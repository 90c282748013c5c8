import t from 'tap'
import type { ProbeResult, Tally } from '../../lib/cli/probe/report.js'
import { renderReport } from '../../lib/cli/probe/table.js'

const tally: Tally = { connections: 10, resumed: 9, full: 1, failed: 0, share: 0.9 }
const RESULT: ProbeResult = {
  host: 'a.test',
  address: '192.0.2.1',
  port: 443,
  servername: 'a.test',
  protocol: 'TLSv1.3',
  status: 'probed',
  error: null,
  ticketsPerFullHandshake: 2,
  ticketsPerResumption: 1,
  renewal: 'always',
  lifetimeHint: 7200,
  renewedLifetimeHint: 7200,
  ticketBytes: 240,
  usedOnce: tally,
  newest: tally,
  same: tally,
  sameTicketTwice: true,
  ok: true
}

/** The cells of the one row of a table about this result. */
function cells (result: Partial<ProbeResult>): string[] {
  const report = { ok: true, connections: 10, results: [{ ...RESULT, ...result }], acrossAddresses: [], acrossNames: [], problems: [] }
  return renderReport(report).split('\n')[1]?.split(/ {2,}/) ?? []
}

t.test('a row of the table', async (t) => {
  t.strictSame(cells({}), ['192.0.2.1:443', 'a.test', 'TLSv1.3', '2', '9/10 90.0 %', '9/10 90.0 %', '9/10 90.0 %', 'always', '2h', 'yes'])
})

t.test('a lifetime is in the largest unit without a fraction; 0 means that TLS 1.2 gives no lifetime', async (t) => {
  const said: Array<[number, string]> = [[172_800, '2d'], [90_000, '25h'], [300, '5m'], [90, '90s'], [1, '1s'], [0, 'not said']]
  for (const [lifetimeHint, text] of said) t.equal(cells({ lifetimeHint, renewedLifetimeHint: null })[8], text)
})

t.test('the lifetime of renewed tickets is shown if it differs', async (t) => {
  t.equal(cells({ lifetimeHint: 7200, renewedLifetimeHint: 3600 })[8], '2h, then 1h')
  t.equal(cells({ lifetimeHint: 7200, renewedLifetimeHint: 0 })[8], '2h, then not said')
  t.equal(cells({ lifetimeHint: 7200, renewedLifetimeHint: 7200 })[8], '2h')
})

t.test('the number of tickets per full handshake is an average', async (t) => {
  t.strictSame([0, 1, 1.5, 5 / 3].map((ticketsPerFullHandshake) => cells({ ticketsPerFullHandshake })[3]), ['0', '1', '1.5', '1.7'])
})
