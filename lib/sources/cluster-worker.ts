import cluster from 'node:cluster'
import { SourceError } from '../util/errors.js'
import { PRIMARY_VARIABLE, type KeysMessage, type Wanted } from '../cluster-ipc/messages.js'
import { primaryChannel, type Answer, type PrimaryChannel } from '../cluster-ipc/worker-channel.js'
import { readRing } from '../cluster-ipc/ring-record.js'
import { erase, SecretArena } from '../native/secret-memory.js'
import type { MemorySource } from './memory.js'
import type { KeySource, SourceKeys } from './key-source.js'

/** Timeout for a primary that shares its keys, ms. It is shorter than Fastify's plugin timeout of 10 s. */
const ANSWER_TIMEOUT_MS = 8000
/**
 * Timeout for a primary that did not share keys when it forked this worker, ms. If the primary never shares keys, it
 * does not answer.
 */
const UNKNOWN_PRIMARY_TIMEOUT_MS = 500
/** How late the primary's new keys may be before this worker asks for them, ms. */
const PUSH_DELAY_MS = 2000

const ALONE = 'this cluster worker made its own session ticket keys, so sessions from other workers do not resume here: ' +
  "call shareTicketKeys (fastify-ticket-keys/cluster) in the primary, or use the source 'secret', 'file' or 'directory'"

/** Returns whether this process is a cluster worker whose primary already shared its keys when it forked the worker. */
export function primaryShares (): boolean {
  return cluster.isWorker && process.env[PRIMARY_VARIABLE] === String(process.ppid)
}

/**
 * The source 'memory' in a cluster worker. It uses the primary's keys if the primary shares them. Otherwise it makes
 * its own keys until the primary shares. If the primary exits, the worker keeps its keys until they expire.
 */
export class ClusterSource implements KeySource {
  readonly #own: MemorySource
  readonly #ticketLifetime: number
  readonly #channel: PrimaryChannel
  #stopListening: (() => void) | undefined
  #changed: (() => void) | undefined
  #state: 'new' | 'alone' | 'shared' = 'new'
  #latest: KeysMessage | undefined
  #taken: string | undefined
  readonly #arena = new SecretArena()
  #asking = 0
  #lifetimeCompared = false

  /** @param own makes keys if the primary shares none @param ticketLifetime ms */
  constructor (own: MemorySource, ticketLifetime: number, channel = primaryChannel()) {
    this.#own = own
    this.#ticketLifetime = ticketLifetime
    this.#channel = channel
  }

  get type (): 'memory' | 'cluster' {
    return this.#state === 'shared' ? 'cluster' : 'memory'
  }

  get makesKeys (): boolean {
    return this.#state !== 'shared'
  }

  load (now: number): SourceKeys | null | Promise<SourceKeys | null> {
    if (this.#hasNews()) return this.#take()
    if (this.#state === 'alone') return this.#own.load(now)
    return this.#loadFromPrimary(now)
  }

  watch (changed: () => void): void {
    this.#changed = changed
  }

  async rotate (now: number): Promise<void> {
    if (this.#state === 'alone') this.#own.rotate(now)
    else checkAnswer(await this.#ask('rotate', ANSWER_TIMEOUT_MS))
  }

  async replaceKeys (): Promise<void> {
    if (this.#state === 'alone') this.#own.replaceKeys()
    else checkAnswer(await this.#ask('replace', ANSWER_TIMEOUT_MS))
  }

  refused (): void {
    if (this.#state === 'alone') this.#own.refused()
    this.#taken = undefined
  }

  close (): void {
    this.#stopListening?.()
    this.#changed = undefined
  }

  async #loadFromPrimary (now: number): Promise<SourceKeys | null> {
    this.#stopListening ??= this.#channel.listen({
      keys: (message) => this.#receive(message),
      // The `keys` listener handles the answer like keys that the primary sends by itself.
      offer: () => { this.#channel.ask('keys', ANSWER_TIMEOUT_MS).catch(() => {}) }
    })
    const promised = this.#state === 'shared' || primaryShares()
    const answer = await this.#ask('keys', promised ? ANSWER_TIMEOUT_MS : UNKNOWN_PRIMARY_TIMEOUT_MS).catch((error: Error) => error)
    if (this.#hasNews()) return this.#take()
    if (this.#state === 'new' && (answer === 'not-shared' || !promised)) {
      this.#state = 'alone'
      return { ...this.#own.load(now), warnings: [ALONE] }
    }
    checkAnswer(answer)
    return null
  }

  async #ask (what: Wanted, wait: number): Promise<Answer> {
    this.#asking++
    try {
      return await this.#channel.ask(what, wait)
    } finally {
      this.#asking--
    }
  }

  #receive (message: KeysMessage): void {
    this.#latest = message
    // If a request is pending, its caller loads the keys.
    if (this.#asking === 0 && this.#hasNews()) this.#changed?.()
  }

  #hasNews (): boolean {
    return this.#latest !== undefined && this.#latest.revision !== this.#taken
  }

  #take (): SourceKeys {
    const message = this.#latest as KeysMessage
    // If open() fails, the next load asks the primary again.
    this.#latest = undefined
    const record = this.#channel.open(message)
    this.#arena.clear()
    const { keys, refreshAt, ticketLifetime, rotationInterval } = readRing(record, this.#arena.allocate)
    erase(record)
    this.#taken = message.revision
    const warnings = []
    if (this.#state === 'alone') warnings.push('the cluster primary shares its session ticket keys from now on, and this worker has them')
    if (!this.#lifetimeCompared && ticketLifetime < this.#ticketLifetime) {
      warnings.push('ticketLifetime is longer here than for shareTicketKeys in the cluster primary: tickets end with their keys')
    }
    this.#lifetimeCompared = true
    this.#state = 'shared'
    return { keys, timed: true, refreshAt: refreshAt + PUSH_DELAY_MS, rotationInterval, warnings }
  }
}

function checkAnswer (answer: Answer | Error): void {
  if (answer instanceof Error) throw answer
  if (answer === 'silence') {
    throw new SourceError(`the cluster primary, which has the ticket keys, did not answer within ${ANSWER_TIMEOUT_MS / 1000} s`)
  }
  if (answer === 'not-shared') throw new SourceError('the cluster primary no longer shares its ticket keys')
}
