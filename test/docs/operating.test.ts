import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { Agent, request } from 'node:https'
import t from 'tap'
import { metricsRegistry } from '../../lib/metrics/register.js'
import type { TicketKeysStatus } from '../../lib/manager/ticket-keys.js'
import { serverCert } from '../helpers/certs.js'
import { createTicketKeys } from '../../lib/index.js'
import { keysHeld } from '../../lib/keys/timetable.js'
import { connect } from '../helpers/client.js'
import { blocks, onlyBlock, readRepoFile } from '../helpers/docs.js'
import { manage } from '../helpers/managed.js'
import { runModule } from '../helpers/process.js'
import { nginx } from '../helpers/real-servers.js'
import { closeAll, plainHttps } from '../helpers/server.js'

const FILE = 'docs/operating.md'

t.teardown(closeAll)

function promtool (args: string[], directory: string): { status: number | null, output: string } {
  const { error, status, stdout, stderr } = spawnSync('promtool', args, { cwd: directory, encoding: 'utf8' })
  if (error !== undefined) throw new Error('promtool could not be run: it is in the Debian package prometheus', { cause: error })
  return { status, output: stdout + stderr }
}

// Minutes, and what Prometheus has scraped by then: each alert goes off where it should, and only there.
const CASES = `
rule_files: [rules.yml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - { series: 'tls_ticket_keys_stale{job="a", instance="good"}', values: '0x60' }
      - { series: 'tls_ticket_keys_stale{job="a", instance="bad"}', values: '0x5 1x60' }
      - { series: 'tls_ticket_key_reloads_total{job="a", instance="good", source="file", result="error"}', values: '0x10 1 2 3 4 5 6x60' }
      - { series: 'tls_ticket_key_reloads_total{job="a", instance="bad", source="file", result="error"}', values: '0+1x60' }
      - { series: 'tls_ticket_resumed_total{job="a", protocol="TLSv1.3"}', values: '0+100x60' }
      - { series: 'tls_ticket_rejected_total{job="a", protocol="TLSv1.3", reason="unknown_key"}', values: '0+1x60' }
      - { series: 'tls_ticket_resumed_total{job="b", protocol="TLSv1.3"}', values: '0+100x60' }
      - { series: 'tls_ticket_rejected_total{job="b", protocol="TLSv1.3", reason="unknown_key"}', values: '0+30x60' }
      - { series: 'tls_handshakes_total{job="a", protocol="TLSv1.3", resumed="true"}', values: '0+75x60' }
      - { series: 'tls_handshakes_total{job="a", protocol="TLSv1.3", resumed="false"}', values: '0+25x60' }
      - { series: 'tls_ticket_keys_end_timestamp_seconds{job="a", instance="good"}', values: '7201+60x60' }
      - { series: 'tls_ticket_keys_end_timestamp_seconds{job="a", instance="bad"}', values: '9000x60' }
      - { series: 'tls_ticket_key_rotation_interval_seconds{job="a", instance="good"}', values: '3600x60' }
      - { series: 'tls_ticket_key_rotation_interval_seconds{job="a", instance="bad"}', values: '3600x60' }
      - { series: 'tls_ticket_key_rotation_interval_seconds{job="a", instance="memory"}', values: '3600x60' }
      - { series: 'tls_ticket_key_info{job="a", instance="1", key_id="old", state="current"}', values: '1x9 stale' }
      - { series: 'tls_ticket_key_info{job="a", instance="1", key_id="new", state="current"}', values: '_x9 1x50' }
      - { series: 'tls_ticket_key_info{job="a", instance="2", key_id="old", state="current"}', values: '1x11 stale' }
      - { series: 'tls_ticket_key_info{job="a", instance="2", key_id="new", state="current"}', values: '_x11 1x48' }
      - { series: 'tls_ticket_key_info{job="a", instance="2", key_id="other", state="next"}', values: '1x60' }
      - { series: 'tls_ticket_key_info{job="b", instance="1", key_id="one", state="current"}', values: '1x60' }
      - { series: 'tls_ticket_key_info{job="b", instance="2", key_id="two", state="current"}', values: '1x60' }
    promql_expr_test:
      - { expr: 'tls:resumed:ratio_rate5m', eval_time: 30m, exp_samples: [{ labels: 'tls:resumed:ratio_rate5m{job="a"}', value: 0.75 }] }
    alert_rule_test:
      - { alertname: TicketKeysStale, eval_time: 5m, exp_alerts: [] }
      - alertname: TicketKeysStale
        eval_time: 10m
        exp_alerts: [{ exp_labels: { job: a, instance: bad }, exp_annotations: { summary: SUMMARY } }]
      - alertname: TicketKeysNotLoading
        eval_time: 30m
        exp_alerts:
          - exp_labels: { job: a, instance: bad, source: file, result: error }
            exp_annotations: { summary: SUMMARY }
      - { alertname: TicketKeysEnding, eval_time: 34m, exp_alerts: [] }
      - alertname: TicketKeysEnding
        eval_time: 40m
        exp_alerts: [{ exp_labels: { job: a, instance: bad }, exp_annotations: { summary: SUMMARY } }]
      - { alertname: TicketKeysDisagree, eval_time: 4m, exp_alerts: [] }
      - alertname: TicketKeysDisagree
        eval_time: 15m
        exp_alerts: [{ exp_labels: { job: b }, exp_annotations: { summary: SUMMARY } }]
      - { alertname: TicketKeysNotShared, eval_time: 25m, exp_alerts: [] }
      - alertname: TicketKeysNotShared
        eval_time: 50m
        exp_alerts: [{ exp_labels: { job: b }, exp_annotations: { summary: SUMMARY } }]
`

t.test('the Prometheus rules are valid, fire when they should, and use existing metrics', async (t) => {
  const rules = readRepoFile('monitoring/alerts.yml')
  const summaries = [...rules.matchAll(/alert: (\w+)[^]*?summary: (.+)$/gm)].map(
    ([, alert = '', summary = '']) => [alert, summary] as const
  )
  t.equal(summaries.length, 5)
  const page = readRepoFile(FILE)
  t.same(summaries.filter(([name]) => !page.includes(`| \`${name}\` |`)), [], 'the page explains each alert')
  const cases = CASES.replaceAll(/alertname: (\w+)([^]*?)SUMMARY/g, (_, alert: string, between: string) =>
    `alertname: ${alert}${between}${JSON.stringify(summaries.find(([name]) => name === alert)?.[1])}`)
  const directory = t.testdir({ 'rules.yml': rules, 'cases.yml': cases })
  t.match(promtool(['check', 'rules', '--lint-fatal', 'rules.yml'], directory), { status: 0, output: /SUCCESS: 6 rules found/ })
  t.match(promtool(['test', 'rules', 'cases.yml'], directory), { status: 0, output: 'SUCCESS' })
  const { keys } = await manage(t)
  const known = metricsRegistry(keys, 'text').getMetricsAsArray().map(({ name }) => name)
  const named = new Set(rules.match(/\btls_\w+/g))
  t.same([...named].filter((name) => !known.includes(name)), [])
})

t.test('the health check reports problems without failing itself', async (t) => {
  const { key, cert } = await serverCert()
  const running = runModule(`
    import Fastify from 'fastify'
    import ticketKeys from '../../lib/index.js'
    const app = Fastify({ https: { key: process.env.KEY, cert: process.env.CERT } })
    await app.register(ticketKeys)
    ${onlyBlock(FILE, 'ts', '## Health')}
    const healthy = (await app.inject('/health')).json()
    await app.ticketKeys.close()
    process.send([healthy, (await app.inject('/health')).json()], () => { process.exit() })
  `, { env: { KEY: key, CERT: cert } })
  t.teardown(running.stop)
  const [healthy, stale] = await running.next() as object[]
  t.strictSame(healthy, { ok: true, ticketKeys: { stale: false, staleReason: null, lastErrorCode: null } })
  t.match(stale, { ok: true, ticketKeys: { stale: true, staleReason: /^no key may issue/ } })
})

t.test('without Fastify, SIGTERM closes the server and then the keys, and the process ends', async (t) => {
  const { key, cert } = await serverCert()
  const running = runModule(`
    import { createServer } from 'node:https'
    import { createTicketKeys } from '../../lib/index.js'
    const server = createServer({ key: process.env.KEY, cert: process.env.CERT }, (request, response) => { response.end() })
    const keys = await createTicketKeys()
    keys.attach(server)
    ${onlyBlock(FILE, 'ts', '## Starting and stopping')}
    process.once('exit', () => { console.log(keys.status().keys.length, 'keys left') })
    server.listen(0, '127.0.0.1', () => { process.send(server.address().port, () => { process.disconnect() }) })
  `, { env: { KEY: key, CERT: cert } })
  t.teardown(running.stop)
  const port = await running.next() as number
  const { session } = await connect({ port })
  t.equal((await connect({ port, session })).reused, true)
  running.child.kill('SIGTERM')
  t.same(await running.exit, { code: 0, signal: null })
  t.match(running.output(), /^0 keys left$/m)
})

t.test('docs/api.md lists the fields of status() and the members of the manager', async (t) => {
  const shown = JSON.parse(blocks('docs/api.md', 'json')[0] ?? '') as TicketKeysStatus
  const { keys } = await manage(t)
  const status = keys.status()
  t.same(Object.keys(status), Object.keys(shown))
  t.same(Object.keys(status.keys[0] ?? {}), Object.keys(shown.keys[0] ?? {}))
  const named = [...readRepoFile('docs/api.md').matchAll(/^\| `(?:await )?(\w+)(?:\(.*?\))?` \| .+ \|$/gm)].map(([, name = '']) => name)
  const own = Object.getOwnPropertyNames(Object.getPrototypeOf(keys)).filter(
    (name) => !['constructor', 'start', 'tick', 'onClose', 'currentKeyAge', 'rotationInterval', 'revokedUntil'].includes(name)
  )
  t.same(own.filter((name) => !named.includes(name)), [])
  const events = ['rotation', 'reload', 'reload-error', 'stale', 'revocation']
  t.same(events.filter((event) => !readRepoFile('docs/api.md').includes(`| \`${event}\` |`)), [])
})

t.test('TLS 1.1 clients get no tickets', async (t) => {
  t.match(readRepoFile(FILE), '**TLS 1.0 and 1.1 get no tickets.**')
  const options = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const
  const { server, port } = await plainHttps(options)
  const keys = await createTicketKeys({ environment: false })
  t.teardown(() => keys.close())
  keys.attach(server)
  const { session, protocol } = await connect({ port, tls: options })
  t.equal(protocol, 'TLSv1.1')
  t.equal((await connect({ port, session, tls: options })).reused, false)
})

t.test('the limit of 256 keys: the numbers of the page', async (t) => {
  const MINUTE = 60_000
  const week = 7 * 24 * 60 * MINUTE
  const [, needed] = /`rotationInterval: '30m'` with `ticketLifetime: '7d'` needs (\d+) keys/.exec(readRepoFile(FILE)) ?? []
  t.equal(Number(needed), keysHeld(30 * MINUTE, week))
  const [, shortest] = /the shortest `rotationInterval` is (\d+) minutes/.exec(readRepoFile(FILE)) ?? []
  const options = { environment: false, ticketLifetime: '7d', maxSessionAge: '7d' } as const
  const keys = await createTicketKeys({ ...options, rotationInterval: `${Number(shortest)}m` })
  await keys.close()
  await t.rejects(createTicketKeys({ ...options, rotationInterval: `${Number(shortest) - 1}m` }),
    { code: 'FST_TICKET_KEYS_OPTIONS', message: /more than 256 keys would have to be held/ })
})

t.test('nginx uses one session for all names: it resumes only with bindServerName: false', async (t) => {
  const directives = onlyBlock(FILE, 'nginx', '### Proxies that share one session over all names')
  const resumed: number[] = []
  for (const bindServerName of [true, false]) {
    const { server, port, handshakes } = await plainHttps()
    const keys = await createTicketKeys({ environment: false, bindServerName })
    t.teardown(() => keys.close())
    keys.attach(server)
    const { ports: [front = 0] } = await nginx(t, [`location / { ${directives} proxy_pass https://127.0.0.1:${port}; }`])
    const agent = new Agent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false })
    for (let i = 0; i < 30; i++) {
      const [response] = await once(request({ port: front, agent, headers: { host: `name${i}.test` } }).end(),
        'response') as [IncomingMessage]
      await once(response.resume(), 'end')
    }
    agent.destroy()
    t.equal(handshakes.length, 30)
    resumed.push(handshakes.filter(({ reused }) => reused).length)
    const { rejected } = keys.stats()
    const refused = rejected['TLSv1.2'].server_name + rejected['TLSv1.3'].server_name
    t.ok(bindServerName ? refused >= 28 : refused === 0, `${refused} refused by name`)
    const elsewhere = handshakes.filter(({ reused, protocol }) => reused && protocol === 'TLSv1.2')
    t.ok(elsewhere.every(({ servername }) => servername === false), 'the application sees no server name')
  }
  const [byDefault = 0, unbound = 0] = resumed
  t.equal(byDefault, 0)
  // nginx has two workers here, and the first connection of each has no ticket.
  t.ok(unbound === 28 || unbound === 29, `${unbound} of 30`)
})
