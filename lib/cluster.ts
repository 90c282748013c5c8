import cluster, { type Worker } from 'node:cluster'
import { randomUUID, type KeyObject } from 'node:crypto'
import { isMainThread } from 'node:worker_threads'
import { Clock } from './util/clock.js'
import type { ManagerOptions } from './create.js'
import { ClosedError, OptionsError } from './util/errors.js'
import { PRIMARY_VARIABLE, readRequest, type FromPrimary, type KeysRequest } from './cluster-ipc/messages.js'
import { writeRing } from './cluster-ipc/ring-record.js'
import { importPublic, seal } from './cluster-ipc/sealed-box.js'
import { KeyRefresher } from './manager/key-refresher.js'
import { keyId } from './keys/key.js'
import { isLog, processLog, toLogger, type Logger } from './util/log.js'
import { NOT_LOCKED } from './manager/ticket-keys.js'
import { NO_MANAGER, notManaged, warnUnmanaged } from './manager/unmanaged-ticket-keys.js'
import { addon } from './native/binding.js'
import type { NativeManager } from './native/types.js'
import { checkIsObject, resolveOptions, type ResolvedOptions } from './config/options.js'
import { OptionErrors } from './util/option-errors.js'
import { KeyRing, type KeyStatus } from './manager/key-ring.js'
import { erase } from './native/secret-memory.js'

/**
 * As for `createTicketKeys`: the workers' own options may be given. `rotationInterval`, `ticketLifetime`, `source`, `environment` and
 * `log` count.
 */
export type ShareOptions = ManagerOptions

/** The shared keys, for people and health checks. Times are ms since 1970. */
export interface SharedKeysStatus {
  /** id of the issuing key */
  current: string | null
  nextRotation: number | null
  keys: KeyStatus[]
  /** false where the system did not lock the keys' memory against swapping */
  memoryLocked: boolean
  /** how many workers have these keys now */
  workers: number
}

/** The keys that the primary of a cluster gives to its workers. */
export class SharedTicketKeys {
  /** Resolves when the first keys are there. Rejects, with everything closed, where there are none. */
  readonly ready: Promise<void>
  readonly #clock = new Clock()
  readonly #native: NativeManager
  readonly #ring: KeyRing
  readonly #refresher: KeyRefresher
  readonly #ticketLifetime: number
  readonly #id = randomUUID()
  readonly #publicKeys = new Map<Worker, KeyObject>()
  #revision = 0
  #refreshAt = Infinity
  #closed = false

  /** @internal `shareTicketKeys` makes it. */
  constructor ({ policy, source, rotationInterval }: ResolvedOptions, log: Logger, native: NativeManager = new (addon().Manager)(policy)) {
    this.#ticketLifetime = policy.ticketLifetime
    this.#native = native
    this.#ring = new KeyRing(native)
    this.#refresher = new KeyRefresher(source, this.#ring, this.#clock, log, rotationInterval * 2, {
      keys: ({ refreshAt = Infinity }) => {
        this.#revision++
        this.#refreshAt = refreshAt
        this.#sendTo([...this.#publicKeys], null)
      }
    })
    this.ready = this.start(log)
    // The log has the error. A primary that does not wait for `ready` goes on.
    this.ready.catch(() => {})
  }

  /** For the source `shared`, in this process and its threads. */
  get handle (): number {
    return this.#native.handle
  }

  status (): SharedKeysStatus {
    const now = this.#clock.now()
    const current = this.#ring.current(now)
    return {
      current: current === undefined ? null : keyId(current.name),
      nextRotation: this.#ring.nextRotation(now) ?? null,
      keys: this.#ring.status(now),
      memoryLocked: this.#native.memoryLocked,
      workers: [...this.#publicKeys.keys()].filter((worker) => worker.isConnected()).length
    }
  }

  /** Makes the next key the issuing one, now, and tells the workers. Rejects with FST_TICKET_KEYS_CLOSED, FST_TICKET_KEYS_ROTATE. */
  async rotate (): Promise<void> {
    await this.#whenOpen()
    await this.#refresher.rotate()
  }

  /** Loads the keys again, now, and tells the workers. Rejects with what the source threw; the keys then stay as they were. */
  async reload (): Promise<'success' | 'unchanged'> {
    await this.#whenOpen()
    return await this.#refresher.reload()
  }

  /** Erases the keys here, and stops sharing. The workers keep the keys that they have until these end. */
  async close (): Promise<void> {
    this.#closed = true
    if (shared === this) {
      shared = undefined
      Reflect.deleteProperty(process.env, PRIMARY_VARIABLE)
    }
    this.#publicKeys.clear()
    this.#native.onNoCurrentKey(null)
    this.#ring.clear()
    await this.#refresher.close()
  }

  /** @internal */
  async answer (worker: Worker, request: KeysRequest): Promise<void> {
    const publicKey = importPublic(Buffer.from(request.publicKey, 'base64'))
    try {
      await this.#whenOpen()
      this.#publicKeys.set(worker, publicKey)
      if (request.rotate) await this.#refresher.rotate()
      // The clock may have jumped, which a worker notices when it has no key left.
      else this.#refresher.tick()
      await this.#whenOpen()
      this.#sendTo([[worker, publicKey]], request.id)
    } catch (error) {
      refuse(worker, request, error)
    }
  }

  /** @internal */
  protected async start (log: Logger): Promise<void> {
    try {
      await this.#refresher.start()
    } catch (error) {
      if (!this.#closed) log.error(`the cluster primary has no ticket keys to share: ${(error as Error).message}`, { err: error as Error })
      // The first error is the one that matters.
      await this.close().catch(() => {})
      throw error
    }
    this.#native.onNoCurrentKey(() => this.#refresher.tick(true))
    if (!this.#native.memoryLocked) log.warn(NOT_LOCKED)
  }

  async #whenOpen (): Promise<void> {
    if (!this.#closed) await this.ready
    if (this.#closed) throw new ClosedError('the shared keys are closed')
  }

  #sendTo (recipients: Array<[Worker, KeyObject]>, id: number | null): void {
    if (recipients.length === 0) return
    const revision = `${this.#id}.${this.#revision}`
    const record = writeRing(this.#native, { refreshAt: this.#refreshAt, ticketLifetime: this.#ticketLifetime })
    try {
      for (const [worker, publicKey] of recipients) {
        if (worker.isConnected()) {
          send(worker, { type: 'fastify-ticket-keys:keys', id, revision, sealed: seal(record, publicKey, revision).toString('base64') })
        } else {
          this.#publicKeys.delete(worker)
        }
      }
    } finally {
      erase(record)
    }
  }
}

/** With the option `optional`, where the addon does not load: shares nothing, and the workers keep Node.js's own tickets. */
class UnmanagedSharedKeys extends SharedTicketKeys {
  readonly #problem: Error

  constructor (resolved: ResolvedOptions, log: Logger, problem: Error) {
    super(resolved, log, NO_MANAGER)
    this.#problem = problem
  }

  override status (): SharedKeysStatus {
    return { current: null, nextRotation: null, keys: [], memoryLocked: true, workers: 0 }
  }

  override async rotate (): Promise<void> {
    throw notManaged('rotate', this.#problem)
  }

  override async reload (): Promise<never> {
    throw notManaged('reload', this.#problem)
  }

  protected override async start (): Promise<void> {}
}

let shared: SharedTicketKeys | undefined
let listening = false

/**
 * Shares keys with the workers of a cluster. Call it in the primary before the first fork. It returns at once; a worker with the source
 * `memory` waits for the first keys. Throws FST_TICKET_KEYS_OPTIONS, which names every wrong option, also in a worker and where keys are
 * shared
 * already.
 */
export function shareTicketKeys (options: ShareOptions = {}): SharedTicketKeys {
  if (!cluster.isPrimary || !isMainThread) {
    throw new OptionsError(
      'shareTicketKeys is to be called in the cluster primary, not in a worker; ' +
      "where that is not yours (PM2), use the source 'secret', 'file' or 'directory'"
    )
  }
  if (shared !== undefined) throw new OptionsError('shareTicketKeys was called already: close() what it returned first')
  const problems = new OptionErrors()
  const { log = processLog, ...rest } = checkIsObject(options, problems)
  if (!isLog(log)) problems.add('log', 'must have the functions info, warn and error')
  // Variables with secrets are left for the workers, which delete them.
  const resolved = resolveOptions(rest, problems, true)
  const logger = toLogger(log)
  if (resolved.unmanaged !== null) {
    warnUnmanaged(resolved.unmanaged, logger)
    return new UnmanagedSharedKeys(resolved, logger, resolved.unmanaged)
  }
  shared = new SharedTicketKeys(resolved, logger)
  process.env[PRIMARY_VARIABLE] = String(process.pid)
  if (!listening) cluster.on('message', answer)
  listening = true
  // In a primary, `cluster.workers` is always an object. It may be empty.
  for (const worker of Object.values(cluster.workers as Record<string, Worker>)) {
    if (worker.isConnected()) send(worker, { type: 'fastify-ticket-keys:offer' })
  }
  return shared
}

function answer (worker: Worker, message: unknown): void {
  const request = readRequest(message)
  if (request === undefined) return
  if (shared === undefined) refuse(worker, request)
  // A request that cannot be read is not answered. The worker then reports the silence.
  else shared.answer(worker, request).catch(() => {})
}

/** @param error why, where keys are shared: the source cannot rotate, or gave no keys */
function refuse (worker: Worker, { id }: KeysRequest, error?: unknown): void {
  const failed = shared !== undefined && error instanceof Error
  send(worker, failed ? { type: 'fastify-ticket-keys:failed', id, problem: error.message } : { type: 'fastify-ticket-keys:not-shared', id })
}

function send (worker: Worker, message: FromPrimary): void {
  // A worker that ends meanwhile needs no keys.
  worker.send(message, undefined, undefined, () => {})
}
