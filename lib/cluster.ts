import cluster, { type Worker } from 'node:cluster'
import { randomUUID, type KeyObject } from 'node:crypto'
import { isMainThread } from 'node:worker_threads'
import { Clock } from './util/clock.js'
import type { ManagerOptions } from './create.js'
import { ClosedError, OptionsError } from './util/errors.js'
import { PRIMARY_VARIABLE, readRequest, type KeysMessage, type KeysRequest, type NotShared, type Offer } from './cluster-ipc/messages.js'
import { writeRing } from './cluster-ipc/ring-record.js'
import { importPublic, seal } from './cluster-ipc/sealed-box.js'
import { KeyRefresher } from './manager/key-refresher.js'
import { keyId } from './keys/key.js'
import { isLog, processLog, type Log } from './util/log.js'
import { NOT_LOCKED } from './manager/ticket-keys.js'
import { addon } from './native/binding.js'
import type { NativeManager } from './native/types.js'
import { checkIsObject, resolveOptions, type ResolvedOptions } from './config/options.js'
import { OptionErrors } from './util/option-errors.js'
import { KeyRing, type KeyStatus } from './manager/key-ring.js'
import { erase } from './native/secret-memory.js'
import { MemorySource } from './sources/memory.js'
import type { SourceKeys } from './sources/key-source.js'

/**
 * Those of `createTicketKeys`; the workers' own may be given. Of them `rotationInterval`, `ticketLifetime`, `environment` and `log` count here,
 * and the source, if one is given, is `memory`.
 */
export type ShareOptions = ManagerOptions

/** How the shared keys are. Times are ms since 1970. */
export interface SharedKeysStatus {
  /** id of the issuing key */
  current: string | null
  nextRotation: number | null
  keys: KeyStatus[]
  /** false where the system did not lock the keys' memory against swapping */
  memoryLocked: boolean
  /** that have these keys now */
  workers: number
}

/** The keys that a cluster's primary holds for its workers. */
export class SharedTicketKeys {
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
  constructor ({ policy, source, rotationInterval }: ResolvedOptions, log: Log) {
    this.#ticketLifetime = policy.ticketLifetime
    this.#native = new (addon().Manager)(policy)
    this.#ring = new TellingRing(this.#native, ({ refreshAt = Infinity }) => {
      this.#revision++
      this.#refreshAt = refreshAt
      this.#sendTo([...this.#publicKeys], null)
    })
    this.#refresher = new KeyRefresher(source, this.#ring, this.#clock, log, rotationInterval * 2)
    // Keys in memory are there at once.
    this.#refresher.tick(true)
    this.#native.onNoCurrentKey(() => this.#refresher.tick(true))
    if (!this.#native.memoryLocked) log.warn(NOT_LOCKED)
  }

  /** For the source `shared`, in this process and its threads. */
  get handle (): number {
    return this.#native.handle
  }

  status (): SharedKeysStatus {
    const now = this.#refresher.tick()
    const current = this.#ring.current(now)
    return {
      current: current === undefined ? null : keyId(current.name),
      nextRotation: this.#ring.nextRotation(now) ?? null,
      keys: this.#ring.status(now),
      memoryLocked: this.#native.memoryLocked,
      workers: [...this.#publicKeys.keys()].filter((worker) => worker.isConnected()).length
    }
  }

  /** Makes the next key the issuing one, now, and tells the workers. Rejects with FST_TICKET_KEYS_CLOSED. */
  async rotate (): Promise<void> {
    if (this.#closed) throw new ClosedError('the shared keys are closed')
    await this.#refresher.rotate()
  }

  /** Erases the keys here and shares them no more. Workers go on with those that they have, to their end. */
  async close (): Promise<void> {
    this.#closed = true
    if (shared === this) {
      shared = undefined
      Reflect.deleteProperty(process.env, PRIMARY_VARIABLE)
    }
    this.#publicKeys.clear()
    this.#native.onNoCurrentKey(null)
    await this.#refresher.close()
    this.#ring.clear()
  }

  /** @internal */
  async answer (worker: Worker, request: KeysRequest): Promise<void> {
    const publicKey = importPublic(Buffer.from(request.publicKey, 'base64'))
    this.#publicKeys.set(worker, publicKey)
    if (request.rotate) await this.#refresher.rotate()
    // The clock may have jumped, which a worker notices when it has no key left.
    else this.#refresher.tick()
    // Closed while it rotated.
    if (this.#closed) refuse(worker, request)
    else this.#sendTo([[worker, publicKey]], request.id)
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

/** A ring that says when a source's keys have come into it. */
class TellingRing extends KeyRing {
  readonly #replaced: (keys: SourceKeys) => void

  constructor (native: NativeManager, replaced: (keys: SourceKeys) => void) {
    super(native)
    this.#replaced = replaced
  }

  override replace (keys: SourceKeys, now: number, where: string): void {
    super.replace(keys, now, where)
    this.#replaced(keys)
  }
}

let shared: SharedTicketKeys | undefined
let listening = false

/**
 * To be called in a cluster's primary, before it forks: makes keys in memory, rotates them, and gives them, sealed, to every worker that has
 * the source `memory`, before its server is ready. Throws FST_TICKET_KEYS_OPTIONS, which names every wrong option, in a worker, and where
 * keys are shared already.
 */
export function shareTicketKeys (options: ShareOptions = {}): SharedTicketKeys {
  if (!cluster.isPrimary || !isMainThread) {
    throw new OptionsError("shareTicketKeys is to be called in the cluster primary, not in a worker; where that is not yours (PM2), use the source 'secret', 'file' or 'directory'")
  }
  if (shared !== undefined) throw new OptionsError('shareTicketKeys was called already: close() what it returned first')
  const problems = new OptionErrors()
  const { log = processLog, source = { type: 'memory' }, ...rest } = checkIsObject(options, problems)
  if (!isLog(log)) problems.add('log', 'must have the functions info, warn and error')
  const resolved = resolveOptions({ ...rest, source, environment: withoutDeleting(rest.environment) }, problems)
  if (!(resolved.source instanceof MemorySource)) {
    resolved.source.close?.()
    throw new OptionsError(`source must be 'memory' for shareTicketKeys: workers with the source '${resolved.source.type}' need no keys from the primary`)
  }
  shared = new SharedTicketKeys(resolved, log)
  process.env[PRIMARY_VARIABLE] = String(process.pid)
  if (!listening) cluster.on('message', answer)
  listening = true
  // A primary has them, if only none.
  for (const worker of Object.values(cluster.workers as Record<string, Worker>)) {
    if (worker.isConnected()) send(worker, { type: 'fastify-ticket-keys:offer' })
  }
  return shared
}

/** Variables with secrets are deleted when read; here they are left, for the workers to read. */
function withoutDeleting (environment: ShareOptions['environment']): NonNullable<ShareOptions['environment']> {
  // What is no object is for resolveOptions to name.
  if (environment !== undefined && typeof environment !== 'object') return environment
  return { ...environment, data: { ...environment?.data ?? process.env } }
}

function answer (worker: Worker, message: unknown): void {
  const request = readRequest(message)
  if (request === undefined) return
  if (shared === undefined) refuse(worker, request)
  // A request that can't be read is not answered, which the worker says.
  else shared.answer(worker, request).catch(() => {})
}

function refuse (worker: Worker, { id }: KeysRequest): void {
  send(worker, { type: 'fastify-ticket-keys:not-shared', id })
}

function send (worker: Worker, message: KeysMessage | NotShared | Offer): void {
  // A worker that ends meanwhile needs no keys.
  worker.send(message, undefined, undefined, () => {})
}
