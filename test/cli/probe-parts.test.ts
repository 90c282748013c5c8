import t from 'tap'
import { bindTo } from '../../lib/cli/probe/session-binding.js'
import { probe } from '../../lib/cli/probe/probe.js'
import { progressPrinter } from '../../lib/cli/probe/progress.js'
import type { Progress } from '../../lib/cli/probe/report.js'
import { readTicket } from '../../lib/cli/probe/session.js'
import { parseServerName, parseTarget } from '../../lib/cli/probe/targets.js'
import { closeAll, plainHttps } from '../helpers/server.js'
import { ca, shared } from '../helpers/probe-service.js'

t.afterEach(closeAll)

t.test('an invalid session is refused, and a session without a ticket has none', async (t) => {
  t.equal(readTicket(Buffer.from('3007020101a4020400', 'hex')), undefined)
  t.strictSame(readTicket(Buffer.from('300ca90402020258aa0404020a0b', 'hex')), { bytes: Buffer.from('0a0b', 'hex'), lifetimeHint: 600 })
  t.throws(() => readTicket(Buffer.from('020101', 'hex')), { name: 'RangeError', message: /no DER sequence/ })
  for (const hex of ['', '30', '300caa', '3080', '30850000000001', '3003aa0404']) {
    t.throws(() => readTicket(Buffer.from(hex, 'hex')), { name: 'RangeError' }, hex)
  }
})

t.test('sessions that newer versions of Node.js bind to a server can be read, and offered to another server', async (t) => {
  const session = Buffer.from('300ca90402020258aa0404020a0b', 'hex')
  const boundTo = (name: string): Buffer =>
    Buffer.concat([
      Buffer.from('\0nodejs:tls:session:1\0'),
      Buffer.from([name.length >> 8, name.length & 0xff]),
      Buffer.from(name),
      session
    ])
  for (const name of ['a.test', '127.0.0.1', 'a'.repeat(300)]) {
    t.strictSame(readTicket(boundTo(name)), { bytes: Buffer.from('0a0b', 'hex'), lifetimeHint: 600 })
    t.strictSame(bindTo(name, boundTo('b.test')), boundTo(name))
    t.strictSame(bindTo(name, session), session, 'older versions do not bind sessions')
  }
  t.throws(() => readTicket(boundTo('a.test').subarray(0, 22)), { name: 'RangeError' }, 'truncated')
})

t.test('targets and server names are parsed, and invalid ones refused', async (t) => {
  t.strictSame(parseTarget('example.com'), { host: 'example.com', port: 443 })
  t.strictSame(parseTarget('b\u00fccher.example:8443'), { host: 'xn--bcher-kva.example', port: 8443 })
  t.strictSame(parseTarget('[::1]:8443'), { host: '::1', port: 8443 })
  t.strictSame([parseTarget('[::1]'), parseTarget('::1')], [{ host: '::1', port: 443 }, { host: '::1', port: 443 }])
  for (const wrong of ['', ':443', 'a:0', 'a:65536', 'a:b', 'https://a', 'a b', '[a]:1', '[127.0.0.1]', 'a:1:2']) {
    t.throws(() => parseTarget(wrong), { name: 'TypeError', message: `'${wrong}' is not` }, wrong)
  }
  t.equal(parseServerName('A.test.'), 'a.test')
  for (const wrong of ['', '127.0.0.1', '::1', 'a b']) t.throws(() => parseServerName(wrong), TypeError, wrong)
  for (const wrong of [{ connections: 1 }, { timeout: 0 }, { protocols: [] }, { servernames: [] }, { servernames: ['::1'] }]) {
    await t.rejects(probe(['127.0.0.1'], wrong), TypeError, Object.keys(wrong).join())
  }
  await t.rejects(probe([]), TypeError)
})

t.test('progress redraws one line on a terminal, and writes one line per step elsewhere', async (t) => {
  const { port } = await plainHttps(shared)
  const seen: Progress[] = []
  await probe([`127.0.0.1:${port}`], { ca: ca.cert, connections: 3 }, (progress) => { seen.push(progress) })
  t.strictSame(seen.map(({ done, total }) => [done, total]), Array.from({ length: 18 }, (_, done) => [done, 18]))
  for (const isTTY of [true, false]) {
    let text = ''
    const printer = progressPrinter({ isTTY, columns: 30, write: (part) => { text += part } })
    for (const progress of seen) printer.show(progress)
    printer.end()
    if (isTTY) t.equal(text, '\r\x1b[K0 % of 18 connections: 127.0.\r\x1b[K')
    else t.match(text, /^0 % of 18 connections: .*each ticket once\n16 % .*\n(.*\n){4}$/)
  }
  let line = ''
  progressPrinter({ isTTY: true, write: (part) => { line += part } }).show({ done: 0, total: 1, step: 'x'.repeat(100) })
  t.equal(line.length, '\r\x1b[K'.length + 79, 'on a terminal of unknown width, 79 columns are used')
})
