import { randomBytes } from 'node:crypto'
import t, { type Test } from 'tap'
import { startCluster, type TestCluster } from '../helpers/cluster.js'
import type { SharedKeysStatus } from '../../lib/cluster.js'
import type { TicketKeysStatus } from '../../lib/manager/ticket-keys.js'

/** Primary and workers with options of their own; both read the environment. */
const program = (primary: string, worker: string): string => `
import cluster from 'node:cluster'
import { shareTicketKeys } from '../../lib/cluster.js'
import { createTicketKeys } from '../../lib/create.js'
import { runPrimary, serve, warningsAndErrors } from '../helpers/cluster-program.js'
import { LogCollector } from '../helpers/managed.js'

if (cluster.isPrimary) {
  const shared = shareTicketKeys(${primary})
  runPrimary(2, { status: () => shared.status() })
} else {
  const log = new LogCollector()
  const keys = await createTicketKeys({ log, ...${worker} })
  await serve((server) => { keys.attach(server) }, {
    status: () => keys.status(),
    log: () => warningsAndErrors(log),
    rotate: () => keys.rotate(),
    secretIsLeft: () => 'TICKET_KEYS_SECRET' in process.env
  })
}
`

async function statuses (cluster: TestCluster): Promise<TicketKeysStatus[]> {
  return await Promise.all(cluster.workers.map(async (pid) => await cluster.command(pid, 'status') as TicketKeysStatus))
}

/** Twelve connections of one client, which reach both workers. */
async function resumes (t: Test, cluster: TestCluster): Promise<void> {
  const first = await cluster.connect()
  let { session } = first
  const pids = new Set([first.answer.pid])
  for (let i = 0; i < 11; i++) {
    const next = await cluster.connect({ session })
    t.equal(next.reused, true)
    t.equal(next.answer.reused, true)
    pids.add(next.answer.pid)
    session = next.session
  }
  t.equal(pids.size, 2)
}

const secret = randomBytes(32).toString('base64')

t.test('workers take the keys of a source that a variable gives to the primary, and delete the secret', async (t) => {
  const cluster = await startCluster(program('{}', '{}'), 2, { env: { TICKET_KEYS_SECRET: secret } })
  t.teardown(async () => { await cluster.stop() })
  const { current } = await cluster.command('primary', 'status') as SharedKeysStatus
  const [first, second] = await statuses(cluster)
  t.match([first, second], [{ source: 'cluster', current }, { source: 'cluster', current }])
  await resumes(t, cluster)
  for (const pid of cluster.workers) {
    t.equal(await cluster.command(pid, 'secretIsLeft'), false)
    t.same(await cluster.command(pid, 'log'), [])
    await t.rejects(cluster.command(pid, 'rotate'), /does not make its own keys/, 'the primary names the reason')
  }
})

t.test('workers wait for the keys of a slow store in the primary', async (t) => {
  const [aesKey, hmacKey] = [randomBytes(32).toString('hex'), randomBytes(32).toString('hex')]
  const slowStore = `{
    source: {
      type: 'store',
      load: async () => {
        await new Promise((resolve) => setTimeout(resolve, 1500))
        const secrets = { aesKey: Buffer.from('${aesKey}', 'hex'), hmacKey: Buffer.from('${hmacKey}', 'hex') }
        const times = { notBefore: 0, issueUntil: Infinity, acceptUntil: Infinity }
        return { timed: true, keys: [{ name: Buffer.alloc(16, 1), ...secrets, ...times }] }
      }
    }
  }`
  const cluster = await startCluster(program(slowStore, '{}'), 2)
  t.teardown(async () => { await cluster.stop() })
  t.match(await statuses(cluster), [{ source: 'cluster', current: '01010101' }, { source: 'cluster', current: '01010101' }])
  await resumes(t, cluster)
})

t.test("a source in a worker's code takes precedence, with a warning", async (t) => {
  const cluster = await startCluster(program('{}', `{ source: { type: 'secret', secret: '${secret}' } }`), 2)
  t.teardown(async () => { await cluster.stop() })
  t.match(await statuses(cluster), [{ source: 'secret' }, { source: 'secret' }])
  await resumes(t, cluster)
  for (const pid of cluster.workers) {
    t.match(await cluster.command(pid, 'log'), [/^warn: this cluster worker has the source 'secret' in code/])
  }
})
