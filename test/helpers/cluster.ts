import { serverCert } from './certs.js'
import type { Answer, Message } from './cluster-program.js'
import { connect } from './connect.js'
import type { ConnectOptions, Exchange } from './connect.js'
import { runModule, until } from './process.js'
import type { RunOptions, RunningModule } from './process.js'

/** A cluster in separate processes. Its primary runs `runPrimary`, and its workers run `serve`. */
export class TestCluster {
  readonly primary: RunningModule
  /** Process ids of listening workers, oldest first. A killed worker stays in the list until `kill` returns. */
  readonly workers: number[] = []
  port = 0
  #lastId = 0
  readonly #asked = new Map<number, (done: Message & { test: 'done' }) => void>()

  constructor (primary: RunningModule) {
    this.primary = primary
    this.#read().catch((error: Error) => {
      for (const [id, done] of this.#asked) done({ test: 'done', id, error: error.message })
    })
  }

  /** Waits until this number of workers listen. */
  async listening (workers: number): Promise<this> {
    await until(() => this.workers.length >= workers || this.primary.child.exitCode !== null, 60_000)
    if (this.primary.child.exitCode !== null) throw new Error(this.primary.output())
    return this
  }

  /** Makes the primary or a worker execute one of its commands, and returns the result. */
  async command (to: number | 'primary', name: string, argument?: unknown): Promise<unknown> {
    const id = ++this.#lastId
    const done = await new Promise<Message & { test: 'done' }>((resolve) => {
      this.#asked.set(id, resolve)
      this.primary.send({ test: 'command', id, to, name, argument } satisfies Message)
    })
    if (done.error !== undefined) throw new Error(done.error)
    return done.result
  }

  /** Kills the oldest worker with SIGKILL, and waits until its replacement listens. */
  async kill (): Promise<{ killed: number, replacement: number }> {
    const [killed] = this.workers
    const count = this.workers.length
    process.kill(killed as number, 'SIGKILL')
    await this.listening(count + 1)
    this.workers.shift()
    return { killed: killed as number, replacement: this.workers.at(-1) as number }
  }

  /** Makes one connection, which any worker may accept. */
  async connect (options: Partial<ConnectOptions> = {}): Promise<Exchange & { answer: Answer }> {
    const exchange = await connect({ port: this.port, ...options })
    return { ...exchange, answer: JSON.parse(exchange.body) as Answer }
  }

  async stop (): Promise<void> {
    await this.primary.stop()
  }

  async #read (): Promise<void> {
    for (;;) {
      const message = await this.primary.next() as Message
      if (message.test === 'done') this.#asked.get(message.id)?.(message)
      if (message.test === 'listening') {
        this.port = message.port
        this.workers.push(message.pid)
      }
    }
  }
}

/** Runs the code of a primary and its workers, which is one module. Resolves when `workers` workers listen. */
export async function startCluster (code: string, workers: number, options: RunOptions = {}): Promise<TestCluster> {
  const { key, cert } = await serverCert()
  const env = { TEST_KEY: key, TEST_CERT: cert, ...options.env }
  return await new TestCluster(runModule(code, { ...options, env })).listening(workers)
}
