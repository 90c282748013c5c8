import t from 'tap'
import type { Test } from 'tap'
import { startCluster } from '../helpers/cluster.js'
import type { TestCluster } from '../helpers/cluster.js'
import type { Answer } from '../helpers/cluster-program.js'
import { until } from '../helpers/process.js'
import { RetryingClient } from '../helpers/retrying-client.js'

const WORKERS = 4

const MANAGED = `
import cluster from 'node:cluster'
import { shareTicketKeys } from '../../lib/cluster.js'
import { createTicketKeys } from '../../lib/create.js'
import { runPrimary, serve } from '../helpers/cluster-program.js'

const options = { rotationInterval: '1s', ticketLifetime: '1m' }
if (cluster.isPrimary) {
  shareTicketKeys(options)
  runPrimary(${WORKERS})
} else {
  const keys = await createTicketKeys(options)
  await serve((server) => { keys.attach(server) })
}
`

const PLAIN = `
import cluster from 'node:cluster'
import { runPrimary, serve } from '../helpers/cluster-program.js'

if (cluster.isPrimary) runPrimary(${WORKERS})
else await serve(() => {})
`

/** What became of a cluster's connections. */
interface Story {
  /** Connections after each visitor's first. */
  later: number
  resumed: number
  failed: number
  /** Of connections with one ticket, after a worker has renewed its certificate: resumed, by this worker and by the others. */
  renewed: { here: boolean[], elsewhere: boolean[] }
}

/** Three visitors come again and again while every worker is killed and replaced; then a worker renews its certificate. */
async function tell (cluster: TestCluster, keys: number): Promise<Story> {
  // A connection that was on its way to a worker when that was killed may hang. It must not outlast the ticket.
  const visitors = Array.from({ length: 3 }, () => new RetryingClient({ port: cluster.port, protocol: 'TLSv1.3', timeout: 10_000 }))
  const served = new Set<number>()
  const shown = new Set<string | null>()
  const stop = new AbortController()
  const load = Promise.all(visitors.map(async (visitor) => {
    while (!stop.signal.aborted) {
      await visitor.visit()
      const { pid, keyId } = JSON.parse(visitor.visits.at(-1)?.body ?? '{}') as Answer
      served.add(pid)
      shown.add(keyId)
    }
  }))
  const allHaveServed = async (): Promise<void> => {
    await until(() => cluster.workers.every((pid) => served.has(pid)), 120_000)
  }
  try {
    for (let i = 0; i < WORKERS; i++) {
      await allHaveServed()
      await cluster.kill()
    }
    await allHaveServed()
    await until(() => shown.size >= keys, 120_000)
  } finally {
    stop.abort()
    await load
  }

  const later = visitors.flatMap(({ visits }) => visits.slice(1))
  return {
    later: later.length,
    resumed: later.filter(({ reused }) => reused).length,
    failed: visitors.reduce((sum, { failed }) => sum + failed, 0),
    renewed: await renewOne(cluster)
  }
}

async function renewOne (cluster: TestCluster): Promise<Story['renewed']> {
  const [renewing] = cluster.workers as [number]
  const renewed: Story['renewed'] = { here: [], elsewhere: [] }
  const { session } = await cluster.connect({ protocol: 'TLSv1.3' })
  await cluster.command(renewing, 'renewCertificate')
  while (renewed.here.length < 5 || renewed.elsewhere.length < 5) {
    const { reused, answer } = await cluster.connect({ protocol: 'TLSv1.3', session })
    ;(answer.pid === renewing ? renewed.here : renewed.elsewhere).push(reused)
  }
  return renewed
}

/** @param keys how many keys' tickets must have been shown, `null` for none included */
async function storyOf (t: Test, name: string, code: string, keys: number): Promise<Story> {
  const cluster = await startCluster(code, WORKERS)
  t.teardown(async () => { await cluster.stop() })
  const story = await tell(cluster, keys)
  await cluster.stop()
  t.comment(`${name}: ${story.resumed} of ${story.later} resumed, ${story.failed} connections died with their worker`)
  return story
}

t.test('while workers are killed and replaced under load and rotations, every connection resumes', async (t) => {
  const managed = await storyOf(t, 'managed', MANAGED, 6)
  t.equal(managed.resumed, managed.later, 'with shared keys, every connection but the first resumes')
  t.notOk(managed.renewed.here.includes(false), 'a worker with a renewed certificate resumes')
  t.notOk(managed.renewed.elsewhere.includes(false))

  const plain = await storyOf(t, 'plain Node.js', PLAIN, 1)
  t.ok(plain.resumed / plain.later < 0.7, 'plain Node.js issues no new ticket when it resumes')
  t.notOk(plain.renewed.here.includes(true), 'after setSecureContext, a worker knows no ticket of the others')
  t.notOk(plain.renewed.elsewhere.includes(false))
})
