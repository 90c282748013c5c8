// A key source of your own. It requests a JSON document with keys from a service every few seconds.
//   const keys = await createTicketKeys({ source: new DocumentSource('https://keys.internal/tickets.json') })
import type { KeySource, SourceKey, SourceKeys } from 'fastify-ticket-keys'

/** A key in the document; bytes are base64, times milliseconds since 1970. */
interface DocumentKey {
  name: string
  aesKey: string
  hmacKey: string
  notBefore: number
  issueUntil: number
  acceptUntil: number
}

export class DocumentSource implements KeySource {
  readonly type = 'document'
  readonly pollInterval: number
  readonly #url: string
  #version: string | null = null

  constructor (url: string, pollInterval = 5000) {
    this.#url = url
    this.pollInterval = pollInterval
  }

  /** The manager checks the keys. If `load` throws, the manager keeps its present keys. */
  async load (): Promise<SourceKeys | null> {
    const headers = this.#version === null ? {} : { 'if-none-match': this.#version }
    // Without a timeout, a service that hangs would prevent the next attempt.
    const response = await fetch(this.#url, { headers, signal: AbortSignal.timeout(2000) })
    if (response.status === 304) return null
    if (!response.ok) throw new Error(`the key service answers ${response.status}`)
    const { keys } = await readJson(response)
    // Store the version only after the whole document was read.
    this.#version = response.headers.get('etag')
    return { keys: keys.map(toKey), timed: true }
  }
}

/** Replaces the error of `JSON.parse`: its message quotes text of the document, which may be a key. */
async function readJson (response: Response): Promise<{ keys: DocumentKey[] }> {
  return await (response.json() as Promise<{ keys: DocumentKey[] }>).catch(() => {
    throw new Error('the key service does not answer with JSON')
  })
}

function toKey ({ name, aesKey, hmacKey, ...times }: DocumentKey): SourceKey {
  return { name: Buffer.from(name, 'base64'), aesKey: Buffer.from(aesKey, 'base64'), hmacKey: Buffer.from(hmacKey, 'base64'), ...times }
}
