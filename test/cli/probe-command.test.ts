import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import type { TlsOptions } from 'node:tls'
import t from 'tap'
import { main } from '../../lib/cli/main.js'
import { renderReport } from '../../lib/cli/probe/table.js'
import { serverCert } from '../helpers/certs.js'
import { probeLocal } from '../helpers/probe.js'
import { runModule } from '../helpers/process.js'
import { closeAll, plainHttps } from '../helpers/server.js'

t.afterEach(closeAll)

const { ca } = await serverCert()
const shared: TlsOptions = { ticketKeys: randomBytes(48), sessionIdContext: 'one service' }

/** Runs the command line with these arguments after `probe`. */
async function run (args: string[]): Promise<{ code: number | null, stdout: string, output: string }> {
  const module = runModule("await import('../../lib/cli/index.js')", { args: ['probe', ...args] })
  let stdout = ''
  module.child.stdout?.on('data', (text: string) => { stdout += text })
  const { code } = await module.exit
  return { code, stdout, output: module.output() }
}

t.test('the command writes a table or JSON to standard output, and its exit status serves scripts', async (t) => {
  const { port } = await plainHttps(shared)
  const file = join(t.testdir({ 'ca.pem': ca.cert }), 'ca.pem')
  const target = `127.0.0.1:${port}`
  const table = await run([target, '--ca', file, '--tls', '1.2', '-n', '3'])
  t.match(table, { code: 0, stdout: /^ADDRESS .*\n.* yes\n\nAll returning connections resume\.\n$/ })
  const flags = ['-n', '6', '--json', '--progress', '--servername', 'a.test', '--timeout', '5s', '--alpn', 'http/1.1']
  const json = await run([target, '--ca', file, ...flags])
  t.match(JSON.parse(json.stdout), {
    ok: false,
    connections: 6,
    results: [{ servername: 'a.test', ok: true }, { usedOnce: { share: 4 / 6 } }]
  })
  t.match(json, { code: 1, output: /^0 % of 36 connections: / })
  t.match(await run(['--help']), { code: 0, stdout: /Exit status: 0 if all returning connections resume/ })
})

t.test('wrong arguments exit with status 2 and are named on standard error, with nothing on standard output', async (t) => {
  const [target, file] = ['127.0.0.1:443', join(t.testdir({ 'not.pem': 'x' }), 'not.pem')]
  const wrong: Array<[string[], RegExp]> = [
    [[], /missing required argument/],
    [['a:b'], /'a:b' is not HOST, HOST:PORT/],
    [[target, '--nonsense'], /unknown option/],
    [[target, '-n', '1'], /whole number of 2 or more/],
    [[target, '--tls', '1.1'], /Allowed choices are 1\.2, 1\.3, both/],
    [[target, '--timeout', '5x'], /Must be milliseconds, seconds, minutes, hours or days, with the unit/],
    [[target, '--timeout', '0s'], /Must be milliseconds, seconds, minutes, hours or days, with the unit/],
    [[target, '--timeout', '10'], /The number has no unit\. Write ms, s, m, h or d after it, such as 10s\./],
    [[target, '--timeout', '25d'], /Must be at most 24d/],
    [[target, '-s', 'a,'], /names separated by commas/],
    [[target, '-s', '::1'], /'::1' is not a server name/],
    [[target, '--ca', file], /PEM/],
    [[target, '--ca', `${file}.gone`], /ENOENT/]
  ]
  for (const [args, message] of wrong) {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()]
    t.equal(await main(['probe', ...args], { stdout, stderr }), 2, args.join(' '))
    t.equal(stdout.read(), null)
    const text = String(stderr.read())
    t.match(text, /^error: /)
    t.match(text, message)
  }
})

t.test('the examples in docs/probe.md match the output', async (t) => {
  const text = readFileSync(new URL('../../docs/probe.md', import.meta.url), 'utf8')
  const [first, second] = [await plainHttps(shared), await plainHttps(shared)]
  const file = join(t.testdir({ 'ca.pem': ca.cert }), 'ca.pem')
  const examples = [...text.matchAll(/^fastify-ticket-keys probe (.+)$/gm)].map((match) => match[1] ?? '')
  t.equal(examples.length, 5)
  await Promise.all(examples.map(async (example) => {
    const { code, stdout } = await run(
      example.replace('8443', `${first.port}`).replace('8444', `${second.port}`).replace('ca.pem', file).split(' ')
    )
    t.match({ code, stdout }, { code: 1, stdout: /resumed handshakes give no new ticket|no connection: .*certificate/ }, example)
  }))
  const report = await probeLocal([first.port, second.port], { together: true })
  const lines = renderReport(report).split('\n').map((line) => line.replace(/ +/g, ' '))
  const plain = text.replace(/ +/g, ' ')
  for (const head of ['ADDRESS ', 'FROM ', 'Tickets ']) t.ok(plain.includes(`\n${lines.find((line) => line.startsWith(head))}\n`), head)
  const [, example = '{}'] = /```json\n(.*?)```/s.exec(text) ?? []
  t.strictSame(Object.keys(JSON.parse(example) as object), Object.keys(report.results[0] ?? {}))
})
