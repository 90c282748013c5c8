import t from 'tap'
import type { Test } from 'tap'
import { startCluster } from '../helpers/cluster.js'
import type { TestCluster } from '../helpers/cluster.js'
import { until } from '../helpers/process.js'
import type { SharedKeysStatus } from '../../lib/cluster.js'
import type { TicketKeysStatus } from '../../lib/manager/ticket-keys.js'
import type { TicketStats } from '../../lib/manager/stats.js'

/** A module for both: what the primary does is given; its workers have the default source and tell about it. */
const program = (primary: string, worker = '{}'): string => `
import cluster from 'node:cluster'
import { shareTicketKeys } from '../../lib/cluster.js'
import { createTicketKeys } from '../../lib/create.js'
import { runPrimary, serve, warningsAndErrors } from '../helpers/cluster-program.js'
import { LogCollector } from '../helpers/managed.js'

let shared
const commands = {
  share: (options) => { shared = shareTicketKeys(options) },
  status: () => shared.status(),
  rotate: () => shared.rotate(),
  close: () => shared.close(),
  tell: (message) => { for (const worker of Object.values(cluster.workers)) worker.send(message) }
}
if (cluster.isPrimary) {
  ${primary}
} else {
  const log = new LogCollector()
  const began = performance.now()
  const keys = await createTicketKeys({ log, ...${worker} })
  const took = performance.now() - began
  await serve((server) => { keys.attach(server) }, {
    took: () => took,
    log: () => warningsAndErrors(log),
    status: () => keys.status(),
    stats: () => keys.stats(),
    rotate: () => keys.rotate(),
    replace: () => keys.rotate({ revoke: true }),
    reload: () => keys.reload(),
    another: () => createTicketKeys({ log }).then((other) => other.close()),
    tell: (message) => { process.send(message) }
  })
}
`

async function start (t: Test, code: string, workers: number): Promise<TestCluster> {
  const cluster = await startCluster(code, workers)
  t.teardown(async () => { await cluster.stop() })
  return cluster
}

async function statusOf (cluster: TestCluster, of: number | 'primary'): Promise<TicketKeysStatus> {
  return await cluster.command(of, 'status') as TicketKeysStatus
}

/** What each worker knows of one member of its status. */
async function each (cluster: TestCluster, member: keyof TicketKeysStatus): Promise<unknown[]> {
  return await Promise.all(cluster.workers.map(async (pid) => (await statusOf(cluster, pid))[member]))
}

t.test('without shareTicketKeys, a worker explains once how to share keys, and does not wait; a later call includes it', async (t) => {
  const cluster = await start(t, program('runPrimary(2, commands)'), 2)
  const [first] = cluster.workers as [number, number]
  const [warning, ...others] = await cluster.command(first, 'log') as string[]
  t.match(warning, /^warn: .*shareTicketKeys \(fastify-ticket-keys\/cluster\).*'secret', 'file' or 'directory'$/)
  t.same(others, [])
  t.same(await each(cluster, 'source'), ['memory', 'memory'])
  t.equal(new Set(await each(cluster, 'current')).size, 2, 'each worker has its own keys')
  const took = await cluster.command(first, 'took') as number
  // The primary's silence would cost 8 s.
  t.ok(took < 7000, `after ${Math.round(took)} ms`)
  await cluster.command(first, 'rotate')
  const { keys: alone } = await statusOf(cluster, first)
  await cluster.command(first, 'replace')
  t.same((await statusOf(cluster, first)).keys.filter(({ id }) => alone.some((key) => key.id === id)), [], 'no key is left')

  await cluster.command('primary', 'share')
  await until(async () => (await each(cluster, 'source')).every((source) => source === 'cluster'), 30_000)
  const { current } = await statusOf(cluster, 'primary')
  t.same(await each(cluster, 'current'), [current, current])
  t.match(((await cluster.command(first, 'log')) as string[]).slice(1), [
    /^warn: the cluster primary shares its session ticket keys from now on/
  ])
})

t.test('a worker that was forked before the call has the keys when it listens', async (t) => {
  const cluster = await start(t, program('runPrimary(1, commands); commands.share()'), 1)
  const { current } = await statusOf(cluster, 'primary')
  t.same(await each(cluster, 'source'), ['cluster'])
  t.same(await each(cluster, 'current'), [current])
  t.same(await cluster.command(cluster.workers[0] as number, 'log'), [])
})

t.test('a manual rotation in the primary or a worker reaches all processes; close() ends the sharing', async (t) => {
  const code = program(
    "cluster.setupPrimary({ serialization: 'advanced' }); commands.share({ ticketLifetime: '1h' }); runPrimary(2, commands)",
    "{ ticketLifetime: '2h' }"
  )
  const cluster = await start(t, code, 2)
  const [first, second] = cluster.workers as [number, number]
  t.match(await cluster.command(first, 'log'), [/^warn: ticketLifetime is longer here than for shareTicketKeys/])
  const before = await statusOf(cluster, second)

  await cluster.command(first, 'rotate')
  await cluster.command('primary', 'rotate')
  const { current, keys } = await statusOf(cluster, 'primary')
  t.equal(keys.findIndex(({ state }) => state === 'current'), 2)
  await until(async () => (await each(cluster, 'current')).every((id) => id === current), 30_000)
  t.same((await statusOf(cluster, first)).keys, keys)
  t.same((await statusOf(cluster, second)).keys, keys)
  t.not(before.current, current)
  for (const worker of cluster.workers) {
    const { rotations, reloads } = await cluster.command(worker, 'stats') as TicketStats
    t.same([rotations, reloads], [2, { success: 2, unchanged: 0, error: 0 }], 'each received ring counts as a reload')
  }

  await cluster.command('primary', 'close')
  await t.rejects(cluster.command(second, 'rotate'), /no longer shares/)
  await t.rejects(cluster.command(second, 'reload'), /no longer shares/)
  t.equal((await statusOf(cluster, second)).current, current, 'the worker continues with its keys')
  const { replacement } = await cluster.kill()
  t.match(await cluster.command(replacement, 'log'), [/shareTicketKeys/], 'a new worker has its own keys')

  await cluster.command('primary', 'share')
  await until(async () => new Set(await each(cluster, 'current')).size === 1, 30_000)
  t.not((await statusOf(cluster, second)).current, current, 'both have the newly shared keys')
})

t.test('rotate({ revoke: true }) in a worker replaces every key of the primary and of all workers', async (t) => {
  const cluster = await start(t, program('commands.share(); runPrimary(2, commands)'), 2)
  const [first, second] = cluster.workers as [number, number]
  const { keys: before } = await statusOf(cluster, second)
  await cluster.command(first, 'replace')
  const { current } = await statusOf(cluster, 'primary')
  await until(async () => (await each(cluster, 'current')).every((id) => id === current), 30_000)
  for (const who of ['primary', first, second] as const) {
    t.same((await statusOf(cluster, who)).keys.filter(({ id }) => before.some((key) => key.id === id)), [], `${who}: no key is left`)
  }
})

t.test('a worker that exits leaves the keys and later rotations to the others', async (t) => {
  const cluster = await start(t, program('commands.share(); runPrimary(1, commands)'), 1)
  const rotated = async (t: Test): Promise<void> => {
    await cluster.command('primary', 'rotate')
    const { current, workers } = await cluster.command('primary', 'status') as SharedKeysStatus
    await until(async () => (await each(cluster, 'current'))[0] === current, 30_000)
    t.equal(workers, 1, 'the workers have the keys')
  }
  await t.test('a worker is killed and replaced', async (t) => {
    await cluster.kill()
    await rotated(t)
  })
  await t.test('one of several managers in a worker closes', async (t) => {
    const [worker] = cluster.workers as [number]
    await cluster.command(worker, 'another')
    await rotated(t)
    t.same(await cluster.command(worker, 'log'), [])
    t.equal((await cluster.command(worker, 'stats') as TicketStats).rotations, 2)
  })
})

t.test('a worker whose rotation is interrupted by close() in the primary gets an error, and does not wait', async (t) => {
  const code = program(`commands.share()
  cluster.on('message', (worker, message) => { if (message?.rotate === true) shared.close() })
  runPrimary(1, commands)`)
  const cluster = await start(t, code, 1)
  const [worker] = cluster.workers as [number]
  const before = await statusOf(cluster, worker)
  await t.rejects(cluster.command(worker, 'rotate'), /no longer shares/)
  t.same((await statusOf(cluster, worker)).keys, before.keys)
  t.same((await statusOf(cluster, 'primary')).keys, [], 'the closed keys stay closed')
})

t.test('foreign and malformed messages on the channel change nothing', async (t) => {
  const cluster = await start(t, program('commands.share(); runPrimary(1, commands)'), 1)
  const [worker] = cluster.workers as [number]
  const before = await statusOf(cluster, worker)
  const others = [null, 7, 'text', [], {}, { type: 'prom-client:getMetricsReq' }, { type: 7 }, { type: 'fastify-ticket-keys:unheard-of' }]
  const broken = ['AAAA', '', 'x'.repeat(500)].map((sealed, id) => ({
    type: 'fastify-ticket-keys:keys',
    id,
    revision: `broken ${id}`,
    sealed
  }))
  const requests = [{}, { publicKey: 'AAAA' }, { publicKey: 7 }, { publicKey: null, rotate: true }].map((rest, id) => ({
    type: 'fastify-ticket-keys:request',
    id,
    ...rest
  }))
  for (const message of others) {
    await cluster.command(worker, 'tell', message)
    await cluster.command('primary', 'tell', message)
  }
  for (const message of requests) await cluster.command(worker, 'tell', message)
  t.same(await cluster.command(worker, 'log'), [])
  for (const message of broken) await cluster.command('primary', 'tell', message)
  t.match(await cluster.command(worker, 'log'), [/^error: .*could not be opened.*the last good keys stay \(FST_TICKET_KEYS_SOURCE\)$/])
  t.same((await statusOf(cluster, worker)).keys, before.keys)
  await cluster.command('primary', 'rotate')
  const { current } = await statusOf(cluster, 'primary')
  t.not(current, before.current)
  // The worker may just be asking again for what it could not open.
  await until(async () => (await statusOf(cluster, worker)).current === current, 30_000)
  t.same(await each(cluster, 'lastError'), [null], 'the next keys arrive')
})
