import t from 'tap'
import type { Test } from 'tap'
import { connect, ReusingClient, SingleUseClient } from '../helpers/client.js'
import type { ConnectOptions } from '../helpers/client.js'
import { until, type RunOptions } from '../helpers/process.js'
import { startThreads } from '../helpers/threads.js'
import type { TestThreads } from '../helpers/threads.js'
import type { Serving } from '../helpers/thread-program.js'
import { RetryingClient } from '../helpers/retrying-client.js'

async function start (t: Test, options: RunOptions = {}): Promise<TestThreads> {
  const threads = await startThreads(options)
  t.teardown(async () => { await threads.process.stop() })
  return threads
}

const shared = ({ handle }: Serving): { source: { type: 'shared', handle: number } } => ({ source: { type: 'shared', handle } })

t.test('sessions resume across the servers of four threads, which share one ring and one set of counters', async (t) => {
  const threads = await start(t)
  const owner = await threads.startInMainThread({})
  const all = [owner, ...await Promise.all([1, 2, 3].map(async () => await threads.start(shared(owner))))]
  const clients = [
    new SingleUseClient({ port: owner.port, protocol: 'TLSv1.3' }),
    new ReusingClient({ port: owner.port, protocol: 'TLSv1.2' })
  ]
  for (const client of clients) {
    for (let i = 0; i < 5; i++) {
      for (const { port } of all) await client.connect({ port })
    }
    t.same([client.full, client.resumed], [1, 19])
  }
  const { keys, current, nextRotation } = await threads.status(owner)
  for (const serving of all) {
    const status = await threads.status(serving)
    t.same([status.keys, status.current, status.nextRotation, status.stale], [keys, current, nextRotation, false])
    t.equal(status.source, serving === owner ? 'memory' : 'shared')
    const { handshakes, issued, resumed } = await threads.stats(serving)
    t.same(handshakes, { 'TLSv1.3': { full: 1, resumed: 19 }, 'TLSv1.2': { full: 1, resumed: 19 } })
    t.same([issued, resumed], [{ 'TLSv1.3': 2, 'TLSv1.2': 1 }, { 'TLSv1.3': 19, 'TLSv1.2': 19 }])
  }
  await threads.rotate(owner)
  const rotated = await Promise.all(all.map(async (serving) => await threads.status(serving)))
  t.same(new Set(rotated.map((status) => status.current)), new Set([keys[1]?.id]), 'a rotation by the owner reaches all threads')
  t.same(await Promise.all(all.map(async (serving) => (await threads.stats(serving)).rotations)), [1, 1, 1, 1])
  await t.rejects(threads.rotate(all[1] as Serving), /'shared' does not make its own keys/)
})

t.test('while threads end and start under load and rotations, every connection resumes, and nothing crashes or leaks', async (t) => {
  const threads = await start(t, { coverage: false })
  const owner = await threads.startInMainThread({ rotationInterval: '1s', ticketLifetime: '1m' })
  const serving = [owner, ...await Promise.all([1, 2, 3].map(async () => await threads.start(shared(owner))))]
  const clients = Array.from({ length: 3 }, () => new RetryingClient({ port: owner.port, protocol: 'TLSv1.3' }))
  const stop = new AbortController()
  const load = Promise.all(clients.map(async (client) => {
    for (let i = 0; !stop.signal.aborted; i++) {
      await client.visit({ port: (serving[i % serving.length] as Serving).port })
    }
  }))
  const memory: number[] = []
  try {
    for (let i = 0; i < 14; i++) {
      const [gone] = serving.splice(1, 1) as [Serving]
      await threads.end(gone, i % 2 === 0 ? 'finish' : 'terminate')
      serving.push(await threads.start(shared(owner)))
      memory.push(await threads.memory() / 1e6)
    }
    await until(async () => (await threads.stats(owner)).rotations > 3, 30_000)
  } finally {
    stop.abort()
    await load
  }
  const resumed = clients.reduce((sum, client) => sum + client.resumed, 0)
  const failed = clients.reduce((sum, client) => sum + client.failed, 0)
  t.same(clients.map(({ full }) => full), [1, 1, 1], 'full handshakes')
  t.ok(resumed > 100)
  t.comment(`${resumed} resumed, ${failed} ended with their thread; ` +
    `resident after each thread, MB: ${memory.map(Math.round).join(', ')}`)
  // The least of several: whatever is not collected yet only adds to it. A thread that is kept is 5 MB and more.
  t.ok(Math.min(...memory.slice(-4)) - Math.min(...memory.slice(2, 6)) < 25, 'memory')
})

t.test('any thread may own the ring: if its manager closes, no thread has keys; if the thread ends, the others keep them', async (t) => {
  const threads = await start(t)
  const owner = await threads.start({})
  const here = await threads.startInMainThread(shared(owner))
  const other = await threads.start(shared(owner))
  const newest = async (options: ConnectOptions): Promise<Buffer | undefined> => (await connect(options)).tickets.at(-1)

  const session = await newest({ port: owner.port, protocol: 'TLSv1.3' })
  t.ok((await connect({ port: here.port, session })).reused)
  await threads.close(other)
  const full = await connect({ port: other.port, session })
  t.same([full.reused, full.tickets], [false, []], 'a thread that has closed its manager issues no tickets')
  t.ok((await connect({ port: here.port, session })).reused, 'the other threads continue')

  await threads.end(owner, 'terminate')
  t.ok((await connect({ port: here.port, session })).reused, 'without the owner too')
  const late = await threads.start(shared(owner))
  t.ok((await connect({ port: late.port, session })).reused)

  const next = await threads.start({})
  const following = await threads.startInMainThread(shared(next))
  const theirs = await newest({ port: next.port, protocol: 'TLSv1.3' })
  t.ok((await connect({ port: following.port, session: theirs })).reused)
  await threads.close(next)
  const without = await connect({ port: following.port, session: theirs })
  t.same([without.reused, without.tickets], [false, []])
  const { stale, keys } = await threads.status(following)
  t.same([stale, keys], [true, []])
  await t.rejects(threads.startInMainThread(shared(next)), /FST_TICKET_KEYS_SOURCE|has no keys: it is closed/)
  await t.rejects(threads.startInMainThread({ source: { type: 'shared', handle: 4711 } }), /no manager in this process has the handle 4711/)
})
