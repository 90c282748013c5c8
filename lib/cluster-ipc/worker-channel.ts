import { generateKeyPairSync } from 'node:crypto'
import { SourceError } from '../util/errors.js'
import { readFromPrimary, type Failed, type KeysMessage, type KeysRequest, type NotShared } from './messages.js'
import { exportPublic, open } from './sealed-box.js'

/** What hears of messages that the primary sends. */
export interface PrimaryListener {
  /** keys came, asked for or not */
  keys (message: KeysMessage): void
  /** the primary has begun to share */
  offer (): void
}

/** How the primary answered; `silence` where it did not in time. */
export type Answer = 'keys' | 'not-shared' | 'silence'

/** A cluster worker's way to its primary: one for the process, however many managers it has. */
export class PrimaryChannel {
  readonly #keyPair = generateKeyPairSync('x25519')
  readonly #publicKey = exportPublic(this.#keyPair.publicKey).toString('base64')
  readonly #listeners = new Set<PrimaryListener>()
  readonly #asked = new Map<number, (answer: Answer | Error) => void>()
  #lastId = 0
  readonly #onMessage = (message: unknown): void => this.#receive(message)
  readonly #onDisconnect = (): void => {
    for (const settle of [...this.#asked.values()]) settle(goneError())
  }

  /** Tells `listener` of what the primary sends, until the function that is returned is called. */
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
   * Asks for the keys; listeners have been told of them when it resolves. Rejects with FST_TICKET_KEYS_SOURCE where the primary is gone.
   * @param rotate ask for a rotation first @param wait ms
   */
  async ask (rotate: boolean, wait: number): Promise<Answer> {
    const id = ++this.#lastId
    const answer = await new Promise<Answer | Error>((resolve) => {
      const timer = setTimeout(() => settle('silence'), wait)
      const settle = (result: Answer | Error): void => {
        clearTimeout(timer)
        this.#asked.delete(id)
        resolve(result)
      }
      this.#asked.set(id, settle)
      const request: KeysRequest = { type: 'fastify-ticket-keys:request', id, publicKey: this.#publicKey, rotate }
      if (process.send === undefined || !process.connected) settle(goneError())
      // Where the primary can't be reached, the channel closes: 'disconnect'.
      else process.send(request, undefined, undefined, () => {})
    })
    if (answer instanceof Error) throw answer
    return answer
  }

  /** The ring in a message, as `readRing` takes it. Throws FST_TICKET_KEYS_SOURCE where it can't be opened. */
  open ({ sealed, revision }: KeysMessage): Buffer {
    try {
      return open(Buffer.from(sealed, 'base64'), this.#keyPair.privateKey, revision)
    } catch (cause) {
      const error = new SourceError("the cluster primary's keys could not be opened: is its version of fastify-ticket-keys another?")
      error.cause = cause
      throw error
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

function goneError (): Error {
  return new SourceError('the cluster primary, which has the ticket keys, is gone')
}

let channel: PrimaryChannel | undefined

/** The channel of this process, made when first asked for. */
export function primaryChannel (): PrimaryChannel {
  channel ??= new PrimaryChannel()
  return channel
}
