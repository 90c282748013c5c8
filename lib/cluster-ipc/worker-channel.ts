import { SourceError } from '../util/errors.js'
import { readFromPrimary, type Failed, type KeysMessage, type KeysRequest, type NotShared, type Wanted } from './messages.js'
import { exportPublic, makeKeyPair, open } from './sealed-box.js'

/** Receives the messages of the primary. */
export interface PrimaryListener {
  /** the primary sent keys, as an answer or because they have changed */
  keys (message: KeysMessage): void
  /** the primary has begun to share its keys */
  offer (): void
}

/** The primary's answer; `silence` if it did not answer in time. */
export type Answer = 'keys' | 'not-shared' | 'silence'

/** A cluster worker's channel to its primary. All managers of the process use the same channel. */
export class PrimaryChannel {
  readonly #keyPair = makeKeyPair()
  readonly #publicKey = exportPublic(this.#keyPair.publicKey).toString('base64')
  readonly #listeners = new Set<PrimaryListener>()
  readonly #asked = new Map<number, (answer: Answer | Error) => void>()
  #lastId = 0
  readonly #onMessage = (message: unknown): void => this.#receive(message)
  readonly #onDisconnect = (): void => {
    for (const settle of [...this.#asked.values()]) settle(primaryGoneError())
  }

  /** Passes the primary's messages to `listener`. Returns a function that stops this. */
  listen (listener: PrimaryListener): () => void {
    if (this.#listeners.size === 0) {
      process.on('message', this.#onMessage)
      process.on('disconnect', this.#onDisconnect)
    }
    this.#listeners.add(listener)
    return () => {
      this.#listeners.delete(listener)
      if (this.#listeners.size > 0) return
      process.off('message', this.#onMessage)
      process.off('disconnect', this.#onDisconnect)
    }
  }

  /**
   * Asks for the keys. Listeners receive them before the promise resolves. Rejects with FST_TICKET_KEYS_SOURCE if the
   * primary is gone.
   * @param what whether to rotate or replace the keys first @param wait timeout in ms
   */
  async ask (what: Wanted, wait: number): Promise<Answer> {
    const id = ++this.#lastId
    const answer = await new Promise<Answer | Error>((resolve) => {
      const timer = setTimeout(() => settle('silence'), wait)
      const settle = (result: Answer | Error): void => {
        clearTimeout(timer)
        this.#asked.delete(id)
        resolve(result)
      }
      this.#asked.set(id, settle)
      const [rotate, replace] = [what !== 'keys', what === 'replace']
      const request: KeysRequest = { type: 'fastify-ticket-keys:request', id, publicKey: this.#publicKey, rotate, replace }
      if (process.send === undefined || !process.connected) settle(primaryGoneError())
      // If the primary cannot be reached, the channel closes, and 'disconnect' settles the request.
      else process.send(request, undefined, undefined, () => {})
    })
    if (answer instanceof Error) throw answer
    return answer
  }

  /** Decrypts the ring in a message, for `readRing`. Throws FST_TICKET_KEYS_SOURCE if this fails. */
  open ({ sealed, revision }: KeysMessage): Buffer {
    try {
      return open(Buffer.from(sealed, 'base64'), this.#keyPair.privateKey, revision)
    } catch (cause) {
      const { message } = cause as Error
      throw new SourceError(`the cluster primary's keys could not be opened (${message}): do the versions differ?`, { cause })
    }
  }

  #receive (received: unknown): void {
    const message = readFromPrimary(received)
    if (message === undefined) return
    for (const listener of this.#listeners) {
      if (message.type === 'fastify-ticket-keys:keys') listener.keys(message)
      if (message.type === 'fastify-ticket-keys:offer') listener.offer()
    }
    if (message.type === 'fastify-ticket-keys:offer' || message.id === null) return
    this.#asked.get(message.id)?.(answerOf(message))
  }
}

function answerOf (message: KeysMessage | NotShared | Failed): Answer | Error {
  switch (message.type) {
    case 'fastify-ticket-keys:keys': return 'keys'
    case 'fastify-ticket-keys:not-shared': return 'not-shared'
    case 'fastify-ticket-keys:failed': return new SourceError(`the cluster primary: ${message.problem}`)
  }
}

function primaryGoneError (): Error {
  return new SourceError('the cluster primary, which has the ticket keys, is gone')
}

let channel: PrimaryChannel | undefined

/** The channel of this process, created on the first call. */
export function primaryChannel (): PrimaryChannel {
  channel ??= new PrimaryChannel()
  return channel
}
