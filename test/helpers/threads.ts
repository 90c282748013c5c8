import { startCluster } from './cluster.js'
import type { TestCluster } from './cluster.js'
import type { TicketKeysStatus } from '../../lib/manager/ticket-keys.js'
import type { SourceOption } from '../../lib/sources/make-source.js'
import type { TicketStats } from '../../lib/manager/stats.js'
import type { Serving } from './thread-program.js'
import type { RunOptions } from './process.js'

const MODULE = `
import { run } from '../helpers/thread-program.js'
await run(import.meta.url)
`

/** Options of a thread's manager. */
export interface ThreadOptions {
  source?: SourceOption
  rotationInterval?: string
  ticketLifetime?: string
}

/** A process with several threads, each with its own server. */
export class TestThreads {
  readonly process: TestCluster

  constructor (started: TestCluster) {
    this.process = started
  }

  /** Starts a thread. Throws the error of its manager. */
  async start (options: ThreadOptions): Promise<Serving> {
    return await this.process.command('primary', 'start', options) as Serving
  }

  /** Starts a server and a manager in the main thread. */
  async startInMainThread (options: ThreadOptions): Promise<Serving> {
    return await this.process.command('primary', 'startInMainThread', options) as Serving
  }

  async status ({ thread }: Serving): Promise<TicketKeysStatus> {
    return await this.ask(thread, 'status') as TicketKeysStatus
  }

  async stats ({ thread }: Serving): Promise<TicketStats> {
    return await this.ask(thread, 'stats') as TicketStats
  }

  async rotate ({ thread }: Serving): Promise<void> {
    await this.ask(thread, 'rotate')
  }

  /** Closes a thread's manager. */
  async close ({ thread }: Serving): Promise<void> {
    await this.ask(thread, 'close')
  }

  /** Lets a thread finish by itself, or terminates it at once. */
  async end ({ thread }: Serving, how: 'finish' | 'terminate'): Promise<void> {
    if (how === 'finish') await this.ask(thread, 'finish')
    else await this.process.command('primary', 'terminate', thread)
  }

  /** Resident memory of the process in bytes, after a garbage collection. */
  async memory (): Promise<number> {
    return await this.process.command('primary', 'memory') as number
  }

  async ask (thread: number, name: string): Promise<unknown> {
    return await this.process.command('primary', 'ask', { thread, name })
  }
}

/** Starts a process with only its main thread. */
export async function startThreads (options: RunOptions = {}): Promise<TestThreads> {
  return new TestThreads(await startCluster(MODULE, 0, { execArgv: ['--expose-gc'], ...options }))
}
