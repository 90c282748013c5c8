// A process of the soak test: a manager in the main thread, and threads with servers that share its keys.
import { once } from 'node:events'
import type { Server as TlsServer } from 'node:tls'
import { isMainThread, parentPort, Worker, workerData, type MessagePort } from 'node:worker_threads'
import { createTicketKeys } from '../../lib/create.js'
import type { TicketKeys } from '../../lib/manager/ticket-keys.js'
import { threadCode } from '../../test/helpers/typescript.js'
import {
  endWithParent, listen, makeServer, MANAGER, readMemory, SoakLog,
  type Connections, type Credentials, type Listener, type ProcessState
} from './host.js'
import { answer, Peer, processChannel, threadChannel, type Commands } from './peer.js'

type ThreadData = Credentials & { handle: number, http2: boolean }
type ThreadState = Connections & { log: string[] }

const log = new SoakLog()

function mainThread (): Commands {
  let keys: TicketKeys
  const threads: Array<{ worker: Worker, peer: Peer }> = []
  /** the connections of threads that have ended */
  const ended: Connections = { accepted: 0, open: 0 }
  let credentials: Credentials

  async function startThread (index: number): Promise<Listener> {
    const http2 = index % 2 === 1
    const worker = new Worker(threadCode(import.meta.url), {
      eval: true, execArgv: [], workerData: { ...credentials, handle: keys.handle, http2 } satisfies ThreadData
    })
    const peer = new Peer(`thread ${index}`, threadChannel(worker))
    threads[index] = { worker, peer }
    return { port: await peer.ask<number>('port'), http2 }
  }

  const states = async (): Promise<ThreadState[]> =>
    await Promise.all(threads.map(async ({ peer }) => await peer.ask<ThreadState>('state')))

  return {
    start: async (argument: { credentials: Credentials }): Promise<Record<string, Listener[]>> => {
      credentials = argument.credentials
      keys = await createTicketKeys({ ...MANAGER, log })
      return { threads: [await startThread(0), await startThread(1)] }
    },
    state: async (): Promise<ProcessState> => {
      const running = await states()
      const sum = (pick: (state: Connections) => number): number => [ended, ...running].reduce((total, state) => total + pick(state), 0)
      return {
        groups: { threads: { accepted: sum(({ accepted }) => accepted), open: sum(({ open }) => open), stats: keys.stats() } },
        log: [...log.lines, ...running.flatMap((state) => state.log)],
        memory: await readMemory()
      }
    },
    rotate: () => keys.rotate(),
    revoke: () => keys.revokeSessions(),
    renew: async ([, certificate]: [string, number]) => {
      await Promise.all(threads.map(async ({ peer }) => { await peer.ask('renew', certificate) }))
    },
    /** Ends a thread, which has no connections, and starts another. */
    restart: async ([index, terminate]: [number, boolean]): Promise<Listener> => {
      const { worker, peer } = threads[index] as typeof threads[number]
      const { accepted, log: lines } = await peer.ask<ThreadState>('state')
      ended.accepted += accepted
      log.lines.push(...lines)
      const exited = once(worker, 'exit')
      if (terminate) await worker.terminate()
      else await peer.ask('finish')
      await exited
      return await startThread(index)
    }
  }
}

async function otherThread (port: MessagePort): Promise<void> {
  const { handle, http2, servers: [first], servers } = workerData as ThreadData
  const keys = await createTicketKeys({ source: { type: 'shared', handle }, environment: false, log })
  const connections: Connections = { accepted: 0, open: 0 }
  const server = makeServer({ ...first }, http2)
  keys.attach(server)
  const listening = await listen(server, connections)
  answer(threadChannel(port), {
    port: () => listening,
    state: (): ThreadState => ({ ...connections, log: log.lines }),
    renew: (certificate: number) => { (server as TlsServer).setSecureContext({ ...servers[certificate] }) },
    finish: async () => {
      server.close()
      await once(server, 'close')
      await keys.close()
      setImmediate(() => { port.close() })
    }
  })
}

if (isMainThread) {
  endWithParent()
  answer(processChannel(process), mainThread())
} else {
  await otherThread(parentPort as MessagePort)
}
