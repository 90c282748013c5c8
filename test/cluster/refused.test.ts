import t from 'tap'
import type { TicketKeysStatus } from '../../lib/manager/ticket-keys.js'
import { startCluster } from '../helpers/cluster.js'
import { until } from '../helpers/process.js'

t.test("a worker whose clock jumps past the primary's keys keeps its own, and takes the primary's once its clock is right", async (t) => {
  const cluster = await startCluster(`
    import cluster from 'node:cluster'
    import { shareTicketKeys } from '../../lib/cluster.js'
    import { createTicketKeys } from '../../lib/create.js'
    import { runPrimary, serve } from '../helpers/cluster-program.js'
    import { LogCollector } from '../helpers/managed.js'

    if (cluster.isPrimary) {
      const shared = shareTicketKeys()
      runPrimary(1, { rotate: () => shared.rotate(), status: () => shared.status() })
    } else {
      const keys = await createTicketKeys({ log: new LogCollector() })
      const now = Date.now
      await serve((server) => { keys.attach(server) }, {
        status: () => keys.status(),
        setClock: (ahead) => { Date.now = () => now() + ahead },
        reload: () => keys.reload()
      })
    }
  `, 1)
  t.teardown(async () => { await cluster.stop() })
  const [worker] = cluster.workers as [number]
  const statusOf = async (member: number | 'primary'): Promise<TicketKeysStatus> =>
    await cluster.command(member, 'status') as TicketKeysStatus
  await cluster.command(worker, 'setClock', 30 * 86_400_000)
  await cluster.command('primary', 'rotate')
  await until(async () => (await statusOf(worker)).lastErrorCode === 'FST_TICKET_KEYS_SOURCE')
  t.match((await statusOf(worker)).lastError, /only keys that have expired/)
  await cluster.command(worker, 'setClock', 0)
  t.equal(await cluster.command(worker, 'reload'), 'success')
  t.equal((await statusOf(worker)).current, (await statusOf('primary')).current)
  t.equal((await statusOf(worker)).lastError, null)
})
