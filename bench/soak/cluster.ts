// A process of the soak test: the primary of a cluster, and its workers.
import cluster, { type Worker } from 'node:cluster'
import { once } from 'node:events'
import type { Server } from 'node:net'
import type { Server as TlsServer } from 'node:tls'
import { createTicketKeys } from '../../lib/create.js'
import { shareTicketKeys } from '../../lib/cluster.js'
import type { TicketStats } from '../../lib/manager/stats.js'
import { addStats } from './stats.js'
import {
  endWithParent, listen, makeServer, MANAGER, readMemory, SoakLog,
  type Connections, type Credentials, type GroupState, type Listener, type ProcessState
} from './host.js'
import { answer, Peer, processChannel, type Commands } from './peer.js'

const WORKERS = 2

type WorkerState = Connections & { stats: TicketStats, log: string[] }
interface Running { worker: Worker, peer: Peer }

const log = new SoakLog()

function primary (): Commands {
  const keys = shareTicketKeys({ ...MANAGER, log })
  const workers: Running[] = []
  const ended: WorkerState[] = []
  let credentials: Credentials
  let port = 0

  async function startWorker (): Promise<void> {
    const worker = cluster.fork()
    const peer = new Peer(`cluster worker ${worker.id}`, processChannel(worker))
    port = await peer.ask<number>('start', credentials)
    workers.push({ worker, peer })
  }

  /** Ends the oldest worker in some way, and remembers its counts. */
  async function endWorker (end: (running: Running) => Promise<WorkerState>): Promise<void> {
    const oldest = workers.shift() as Running
    const exited = once(oldest.worker, 'exit')
    ended.push(await end(oldest))
    await exited
  }

  return {
    start: async (argument: { credentials: Credentials }): Promise<Record<string, Listener[]>> => {
      credentials = argument.credentials
      await keys.ready
      for (let i = 0; i < WORKERS; i++) await startWorker()
      return { cluster: [{ port, http2: false }] }
    },
    state: async (): Promise<ProcessState> => {
      const running = await Promise.all(workers.map(async ({ peer }) => await peer.ask<WorkerState>('state')))
      const all = [...ended, ...running]
      const total = all.reduce<GroupState>((sum, { accepted, open, stats }) =>
        ({ accepted: sum.accepted + accepted, open: sum.open + open, stats: addStats(sum.stats, stats) }),
      { accepted: 0, open: 0, stats: addStats() })
      return { groups: { cluster: total }, log: [...log.lines, ...all.flatMap((state) => state.log)], memory: await readMemory() }
    },
    rotate: () => keys.rotate(),
    renew: async ([, certificate]: [string, number]) => {
      await Promise.all(workers.map(async ({ peer }) => { await peer.ask('renew', certificate) }))
    },
    /** Starts a worker. Then the oldest worker finishes its connections, and ends. */
    restart: async () => {
      await startWorker()
      await endWorker(async ({ peer, worker }) => {
        const last = await peer.ask<WorkerState>('finish')
        worker.disconnect()
        return last
      })
    },
    /** Kills the oldest worker, which has no connections, and starts another. */
    kill: async () => {
      await endWorker(async ({ peer, worker }) => {
        const last = await peer.ask<WorkerState>('state')
        worker.process.kill('SIGKILL')
        return last
      })
      await startWorker()
    }
  }
}

function worker (): void {
  const connections: Connections = { accepted: 0, open: 0 }
  let server: Server
  let certificates: Credentials['servers']
  let keys: Awaited<ReturnType<typeof createTicketKeys>>
  const state = (): WorkerState => ({ ...connections, stats: keys.stats(), log: log.lines })
  answer(processChannel(process), {
    start: async (credentials: Credentials) => {
      certificates = credentials.servers
      keys = await createTicketKeys({ ...MANAGER, log })
      server = makeServer({ ...certificates[0] }, false)
      keys.attach(server)
      // All workers of a cluster that listen on port 0 get the same port.
      return await listen(server, connections)
    },
    state,
    renew: (certificate: number) => { (server as TlsServer).setSecureContext({ ...certificates[certificate] }) },
    finish: async () => {
      server.close()
      await once(server, 'close')
      return state()
    }
  })
}

if (cluster.isPrimary) {
  endWithParent()
  answer(processChannel(process), primary())
} else {
  worker()
}
