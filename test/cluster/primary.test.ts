import t from 'tap'
import { SingleUseClient } from '../helpers/client.js'
import { startCluster } from '../helpers/cluster.js'
import { runModule, until } from '../helpers/process.js'
import type { TicketKeysStatus } from '../../lib/manager/ticket-keys.js'

/** A cluster whose primary says, by what it hands down, that it or another process shares keys, and shares none. */
const promise = (pid: string): string => `
import cluster from 'node:cluster'
import { createTicketKeys } from '../../lib/create.js'
import { runPrimary, serve, warningsAndErrors } from '../helpers/cluster-program.js'
import { LogCollector } from '../helpers/managed.js'

if (cluster.isPrimary) {
  process.env.FASTIFY_TICKET_KEYS_PRIMARY = String(${pid})
  runPrimary(1)
} else {
  const log = new LogCollector()
  const keys = await createTicketKeys({ log })
  await serve((server) => { keys.attach(server) }, { log: () => warningsAndErrors(log) })
}
`

t.test('a primary that announced keys but does not answer is an error; an announcement of another process is ignored', async (t) => {
  const silent = await startCluster(promise('process.pid'), 0)
  t.teardown(async () => { await silent.stop() })
  const other = await startCluster(promise('process.ppid'), 1)
  t.teardown(async () => { await other.stop() })
  t.match(await other.command(other.workers[0] as number, 'log'), [/shareTicketKeys/])
  await until(() => silent.primary.output().includes('FST_TICKET_KEYS_SOURCE'), 60_000)
  t.match(silent.primary.output(), /the cluster primary, which has the ticket keys, did not answer within 8 s/)
})

/** A primary that cuts the channel when it is asked for keys, and a worker that says what came of it. */
const DESERTED = `
import cluster from 'node:cluster'
import { createTicketKeys } from '../../lib/create.js'

if (cluster.isPrimary) {
  process.env.FASTIFY_TICKET_KEYS_PRIMARY = String(process.pid)
  const worker = cluster.fork()
  worker.once('message', () => { worker.process.disconnect() })
} else {
  // Node.js ends workers whose primary is gone, but for those that are leaving.
  cluster.worker.exitedAfterDisconnect = true
  const began = performance.now()
  await createTicketKeys().catch(({ code, message }) => { console.log(code, message, performance.now() - began < 5000 ? 'soon' : 'late') })
}
`

t.test('a primary that exits while a worker waits for its answer is an error at once', async (t) => {
  const { exit, output, stop } = runModule(DESERTED)
  t.teardown(stop)
  await exit
  t.match(output(), /FST_TICKET_KEYS_SOURCE ticket keys: the cluster primary, which has the ticket keys, is gone soon/)
})

const SURVIVOR = `
import cluster from 'node:cluster'
import { once } from 'node:events'
import { createServer } from 'node:https'
import { Clock } from '../../lib/util/clock.js'
import { shareTicketKeys } from '../../lib/cluster.js'
import { startTicketKeys } from '../../lib/manager/start.js'
import { resolveOptions } from '../../lib/config/options.js'
import { certificate, runPrimary, runWorkerWith } from '../helpers/cluster-program.js'
import { LogCollector } from '../helpers/managed.js'

// Each worker accepts connections itself: the primary is not needed for that.
cluster.schedulingPolicy = cluster.SCHED_NONE
if (cluster.isPrimary) {
  shareTicketKeys()
  runPrimary(1)
} else {
  // Node.js ends workers whose primary is gone, but for those that are leaving.
  cluster.worker.exitedAfterDisconnect = true
  const log = new LogCollector()
  const clock = new Clock()
  const events = []
  const keys = await startTicketKeys(resolveOptions({}), log, clock)
  keys.on('stale', (event) => { events.push(event) })
  const answers = {
    '/': () => keys.status(),
    '/connected': () => process.connected,
    '/log': () => log.of('error'),
    '/events': () => events,
    '/rotate': () => keys.rotate().then(() => 'rotated', (error) => error.message),
    '/hour': () => { clock.step(3600_000); keys.tick(); return keys.status() }
  }
  const server = createServer(certificate(), async (request, response) => {
    response.end(JSON.stringify(await answers[request.url]()))
  })
  keys.attach(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  runWorkerWith(server, {})
}
`

t.test('a worker whose primary has exited keeps its keys, and reports when they run out', async (t) => {
  const cluster = await startCluster(SURVIVOR, 1)
  const [worker] = cluster.workers as [number]
  t.teardown(async () => {
    process.kill(worker)
    await cluster.stop()
  })
  const client = new SingleUseClient({ port: cluster.port, protocol: 'TLSv1.3' })
  const ask = async (path: string): Promise<unknown> => JSON.parse((await client.connect({ request: path })).body)
  const first = await ask('/') as TicketKeysStatus
  t.equal(first.source, 'cluster')
  cluster.primary.child.kill('SIGKILL')
  await until(async () => await ask('/connected') === false, 30_000)
  t.equal(await ask('/rotate'), 'ticket keys: the cluster primary, which has the ticket keys, is gone')
  t.same(await ask('/log'), [], 'the keys are still good')

  const ahead = first.keys.filter(({ state }) => state === 'next').length
  t.ok(ahead >= 3, `${ahead} keys ahead`)
  for (let hour = 1; hour <= ahead; hour++) {
    const { current, stale } = await ask('/hour') as TicketKeysStatus
    t.same([current, stale], [first.keys[hour]?.id, false], `the key of hour ${hour}`)
  }
  await until(async () => (await ask('/log') as string[]).length === 1, 30_000)
  t.same(await ask('/log'), [
    'ticket keys: the cluster primary, which has the ticket keys, is gone; the last good keys stay (FST_TICKET_KEYS_SOURCE)'
  ])
  t.same(await ask('/events'), [])
  t.equal(client.full, 1, 'every connection but the first has resumed')

  const { stale, keys } = await ask('/hour') as TicketKeysStatus
  t.equal(stale, true)
  t.same(keys.map(({ state }) => state), ['previous', 'previous'], 'their tickets still resume')
  t.match(await ask('/events'), [{ reason: /^no key may issue tickets now/ }])
  t.match(await ask('/log'), [/is gone/, /^ticket keys are stale: no key may issue tickets now/])
})
