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
import { isLog, processLog, toLogger, type Logger } from './util/log.js'
import { NOT_LOCKED } from './manager/ticket-keys.js'
import { NO_MANAGER, notManaged, warnUnmanaged } from './manager/unmanaged-ticket-keys.js'
import { addon } from './native/binding.js'
import type { NativeManager } from './native/types.js'
import { checkIsObject, resolveOptions, type ResolvedOptions } from './config/options.js'
import { OptionErrors } from './util/option-errors.js'
import { KeyRing } from './manager/key-ring.js'
import { ringStatus, type RingStatus } from './manager/ring-status.js'
import { erase } from './native/secret-memory.js'

/**
 * The options of `createTicketKeys`, so that the primary can pass the same options as the workers. For the workers,
 * `source`, `strictPermissions`, `rotationInterval`, `ticketLifetime`, `optional`, `environment` and `log` have an effect
 * here. The other options are for servers that use `handle`.
 */
export type ShareOptions = ManagerOptions

/** The state of the shared keys, for operators and health checks. Times are ms since 1970. */
export interface SharedKeysStatus extends RingStatus {
  /** false if the system did not lock the keys' memory, so that the keys may be swapped to disk */
  memoryLocked: boolean
  /** number of connected workers that have these keys */
  workers: number
}

/** The keys that a cluster primary shares with its workers. */
export class SharedTicketKeys {
  /** Resolves when the first keys are loaded. If that fails, closes this object and rejects. */
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
    this.#refresher = new KeyRefresher(source, this.#ring, this.#clock, log, rotationInterval, {
      keys: ({ refreshAt = Infinity }, changed) => {
        this.#refreshAt = refreshAt
        if (!changed) return
        this.#revision++
        try {
          this.#sendTo([...this.#publicKeys], null)
        } catch (error) {
          log.error('the new ticket keys could not be sent to the cluster workers, which ask for them later', { err: error as Error })
        }
      }
    })
    this.ready = this.start(log)
    // The error is logged. The process must not exit if the primary does not wait for `ready`.
    this.ready.catch(() => {})
  }

  /** The handle for the source `shared`, in this process and its threads. */
  get handle (): number {
    return this.#native.handle
  }

  status (): SharedKeysStatus {
    return {
      ...ringStatus(this.#ring, this.#refresher, this.#clock.now()),
      memoryLocked: this.#native.memoryLocked,
      workers: [...this.#publicKeys.keys()].filter((worker) => worker.isConnected()).length
    }
  }

  /** Rotates and updates the workers. `revoke`: replaces every key. Rejects with FST_TICKET_KEYS_CLOSED or _ROTATE. */
  async rotate ({ revoke = false }: { revoke?: boolean } = {}): Promise<{ at: number }> {
    await this.#whenOpen()
    return { at: await this.#refresher.rotate(revoke) }
  }

  /** Loads the keys again and updates the workers. If the source fails, rejects with its error; the keys stay. */
  async reload (): Promise<'success' | 'unchanged'> {
    await this.#whenOpen()
    return await this.#refresher.reload()
  }

  /** Stops sharing and erases the keys of the primary. The workers keep their keys until the keys expire. */
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
      if (request.rotate) await this.#refresher.rotate(request.replace)
      // A worker without a current key asks for keys, for example after the clock has jumped.
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
      // Report the first error, even if close() also fails.
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
    const { rotationInterval } = this.#refresher.health
    const record = writeRing(this.#native, { refreshAt: this.#refreshAt, ticketLifetime: this.#ticketLifetime, rotationInterval })
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

/** Used if the addon does not load and `optional` is set. It shares nothing, and workers keep Node.js's own tickets. */
class UnmanagedSharedKeys extends SharedTicketKeys {
  readonly #problem: Error

  constructor (resolved: ResolvedOptions, log: Logger, problem: Error) {
    super(resolved, log, NO_MANAGER)
    this.#problem = problem
  }

  override status (): SharedKeysStatus {
    return { current: null, nextRotation: null, keysEnd: null, keys: [], memoryLocked: true, workers: 0 }
  }

  override async rotate (): Promise<never> {
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
 * Shares keys with the workers of a cluster. Call it in the primary before the first fork. It returns at once. A worker
 * with the source `memory` waits for the first keys. Throws FST_TICKET_KEYS_OPTIONS, which names every wrong option.
 * Also throws this error in a worker, and if keys are already shared.
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
  // Do not delete the variables with secrets: the workers need them, and delete them.
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
  // A malformed request gets no answer. The worker then reports a timeout.
  else shared.answer(worker, request).catch(() => {})
}

/** @param error why shared keys cannot be sent: the source cannot rotate, or gave no keys */
function refuse (worker: Worker, { id }: KeysRequest, error?: unknown): void {
  const failed = shared !== undefined && error instanceof Error
  send(worker, failed ? { type: 'fastify-ticket-keys:failed', id, problem: error.message } : { type: 'fastify-ticket-keys:not-shared', id })
}

function send (worker: Worker, message: FromPrimary): void {
  // Ignore errors: a worker that has exited needs no keys.
  worker.send(message, undefined, undefined, () => {})
}
