import t from 'tap'
import type { Test } from 'tap'
import { ReusingClient, SingleUseClient, flipBit } from '../helpers/client.js'
import { startCluster } from '../helpers/cluster.js'
import type { TestCluster } from '../helpers/cluster.js'
import { parseMetrics, value, type Metrics } from '../helpers/metrics.js'
import { until } from '../helpers/process.js'

const WORKERS = 4

/** Fastify workers with an aggregated page in the primary, each of which keeps all that it gets on the channel. */
const program = (serialization: 'json' | 'advanced'): string => `
import cluster from 'node:cluster'
import { inspect } from 'node:util'
import Fastify from 'fastify'
import { AggregatorRegistry, Registry } from 'prom-client'
import { shareTicketKeys } from '../../lib/cluster.js'
import ticketKeys from '../../lib/index.js'
import { addon } from '../../lib/native/binding.js'
import { certificate, runPrimary, runWorkerWith } from '../helpers/cluster-program.js'
import { LeakDetector } from '../helpers/leaks.js'

const aggregator = new AggregatorRegistry()
const received = []
const keep = (message) => { received.push(inspect(message, { depth: Infinity, maxStringLength: Infinity, maxArrayLength: Infinity })) }

/** What of a manager's keys was in the messages so far, and in one that has them. */
function leaks (handle) {
  const bytes = Buffer.alloc(256 * 64)
  const keys = new (addon().Manager)(handle).exportKeys(bytes)
  const secrets = new LeakDetector()
  keys.forEach((key, index) => {
    secrets.add('AES', bytes.subarray(64 * index, 64 * index + 32))
    secrets.add('HMAC', bytes.subarray(64 * index + 32, 64 * index + 64))
  })
  const sealed = received.filter((text) => /fastify-ticket-keys:(keys|request)/.test(text)).length
  const unsealed = JSON.stringify({ sealed: bytes.toString('base64') })
  return { keys: keys.length, sealed, found: received.flatMap((text) => secrets.find(text)), unsealed: secrets.find(unsealed).length }
}

if (cluster.isPrimary) {
  cluster.setupPrimary({ serialization: '${serialization}' })
  const shared = shareTicketKeys()
  cluster.on('message', (worker, message) => { keep(message) })
  cluster.on('fork', (worker) => { worker.process.on('internalMessage', keep) })
  runPrimary(${WORKERS}, {
    page: () => aggregator.clusterMetrics(),
    rotate: () => shared.rotate(),
    leaks: () => leaks(shared.handle)
  })
} else {
  process.on('message', keep)
  process.on('internalMessage', keep)
  const register = new Registry()
  AggregatorRegistry.setRegistries(register)
  const app = Fastify({ https: certificate() })
  await app.register(ticketKeys, { metrics: { register } })
  app.get('/', async (request) => ({ pid: process.pid, reused: request.tlsSession.resumed }))
  await app.listen({ port: 0, host: '127.0.0.1' })
  runWorkerWith(app.server, {
    page: () => register.metrics(),
    leaks: () => leaks(app.ticketKeys.handle)
  })
}
`

async function pages (cluster: TestCluster): Promise<Metrics[]> {
  return await Promise.all(cluster.workers.map(async (pid) => await page(cluster, pid)))
}

async function page (cluster: TestCluster, of: number | 'primary'): Promise<Metrics> {
  return parseMetrics(await cluster.command(of, 'page') as string)
}

for (const serialization of ['json', 'advanced'] as const) {
  t.test(`over serialization '${serialization}'`, async (t) => {
    const cluster = await startCluster(program(serialization), WORKERS)
    t.teardown(async () => { await cluster.stop() })
    await t.test(
      "prom-client's AggregatorRegistry adds up the workers' counters, but not the gauges of keys",
      async (t) => {
        await aggregates(t, cluster)
      }
    )
    await t.test('the channel carries no readable key bytes', async (t) => { await keepsSecrets(t, cluster) })
  })
}

async function aggregates (t: Test, cluster: TestCluster): Promise<void> {
  const clients = [
    new SingleUseClient({ port: cluster.port, protocol: 'TLSv1.3' }),
    new ReusingClient({ port: cluster.port, protocol: 'TLSv1.2' })
  ]
  for (const client of clients) {
    for (let i = 0; i < 3 * WORKERS; i++) await client.connect()
  }
  const [single] = clients as [SingleUseClient]
  await single.connect({ session: flipBit(single.tickets.pop() as Buffer, -1) })
  await cluster.command('primary', 'rotate')
  await until(async () => (await pages(cluster)).every((worker) => value(worker, 'tls_ticket_key_rotations_total') === 1), 30_000)

  const workers = await pages(cluster)
  const all = await page(cluster, 'primary')
  t.same([...all.keys()], [...(workers[0] as Metrics).keys()], 'the series of one worker')
  t.same(clients.map(({ full, resumed }) => [full, resumed]), [[2, 11], [1, 11]])
  for (const [name, labels, expected] of [
    ['tls_handshakes_total', { protocol: 'TLSv1.3', resumed: 'false' }, 2],
    ['tls_handshakes_total', { protocol: 'TLSv1.3', resumed: 'true' }, 11],
    ['tls_handshakes_total', { protocol: 'TLSv1.2', resumed: 'false' }, 1],
    ['tls_handshakes_total', { protocol: 'TLSv1.2', resumed: 'true' }, 11],
    ['tls_ticket_issued_total', { protocol: 'TLSv1.3' }, 4],
    ['tls_ticket_issued_total', { protocol: 'TLSv1.2' }, 1],
    ['tls_ticket_renewed_total', { protocol: 'TLSv1.3' }, 11],
    ['tls_ticket_renewed_total', { protocol: 'TLSv1.2' }, 0],
    ['tls_ticket_resumed_total', { protocol: 'TLSv1.3' }, 11],
    ['tls_ticket_resumed_total', { protocol: 'TLSv1.2' }, 11],
    ['tls_ticket_rejected_total', { protocol: 'TLSv1.3', reason: 'bad_ticket' }, 1],
    ['tls_ticket_age_seconds_count', {}, 22],
    ['tls_ticket_key_reloads_total', { source: 'cluster', result: 'success' }, WORKERS],
    ['tls_ticket_key_rotations_total', {}, 1],
    ['tls_ticket_keys', { state: 'current' }, 1],
    ['tls_ticket_keys', { state: 'next' }, 3],
    ['tls_ticket_keys', { state: 'previous' }, 1]
  ] as const) t.equal(value(all, name, labels), expected, `${name} ${JSON.stringify(labels)}`)
  for (const [series, number] of all) {
    const each = workers.map((worker) => worker.get(series) as number)
    if (/^tls_ticket_key_info|^tls_ticket_keys|^tls_ticket_key_rotation|^tls_ticket_next/.test(series)) {
      t.same(each, Array(WORKERS).fill(number), series)
    } else if (/^tls_ticket_current_key_age/.test(series)) {
      t.ok(number >= Math.max(...each) && number < Math.max(...each) + 60, series)
    } else if (/^tls_ticket_key_last/.test(series)) t.equal(number, Math.min(...each), series)
    else t.equal(number.toFixed(6), each.reduce((sum, count) => sum + count).toFixed(6), series)
  }
}

async function keepsSecrets (t: Test, cluster: TestCluster): Promise<void> {
  for (const process of ['primary', ...cluster.workers] as const) {
    const { keys, sealed, found, unsealed } = (await cluster.command(process, 'leaks')) as {
      keys: number
      sealed: number
      found: string[]
      unsealed: number
    }
    t.equal(sealed, process === 'primary' ? WORKERS : 2, 'one request to each worker, its answer, and the rotation')
    t.same(found, [])
    t.equal(unsealed, keys * 2 * 3, 'the detector finds the same bytes in the clear')
  }
}
