import { ACCEPTS, ISSUES, type KeyMaterial, type KeyTimes } from '../keys/key.js'
import { parseKeys } from '../keys/formats/index.js'
import { allocateSecret, erase } from '../secret.js'
import type { KeySource, SourceKey, SourceKeys } from './source.js'

/** A key in parts; with any of the times it keeps to them, without it takes its place in the list: the first issues. Times are ms since 1970. */
export interface StaticKeyParts extends KeyMaterial, Partial<KeyTimes> {
  /** 16 bytes */
  name: Buffer
}

/**
 * A key that the caller gives: in parts; or as bytes, 80 in the `nginx80` layout (name, HMAC key, AES key) or 48 in Node.js's own, that
 * of `tls.Server`'s `ticketKeys` (name, HMAC key, AES key).
 */
export type StaticKey = StaticKeyParts | Buffer

/** Keys that never change: the first issues, the others go on accepting. The caller's buffers are copied and left alone. */
export class StaticSource implements KeySource {
  readonly type = 'static'
  #keys: SourceKey[] | null
  readonly #timed: boolean

  /** Throws FST_TICKET_KEYS_FORMAT or FST_TICKET_KEYS_WEAK_KEY. @param where what the keys came from, for errors */
  constructor (keys: readonly StaticKey[], where = 'source.keys') {
    this.#timed = keys.some((key) => timesOf(key) !== undefined)
    this.#keys = keys.map((key, index) => ({
      ...(Buffer.isBuffer(key) ? fromBytes(key, `${where}[${index}]`) : fromParts(key)),
      ...(timesOf(key) ?? (index === 0 ? ISSUES : ACCEPTS))
    }))
  }

  load (): SourceKeys | null {
    const keys = this.#keys
    // The ring has them from here on.
    this.#keys = null
    return keys === null ? null : { keys, timed: this.#timed }
  }

  close (): void {
    for (const { aesKey, hmacKey } of this.#keys ?? []) erase(aesKey as Buffer, hmacKey as Buffer)
  }
}

function fromBytes (bytes: Buffer, where: string): Required<Pick<SourceKey, 'name' | 'aesKey' | 'hmacKey'>> {
  const copy = allocateSecret(bytes.length)
  bytes.copy(copy)
  try {
    const { keys: [key] } = parseKeys(copy, bytes.length === 48 ? 'node48' : 'nginx80', where, allocateSecret)
    const { name, aesKey, hmacKey } = key as SourceKey & KeyMaterial
    return { name, aesKey, hmacKey }
  } finally {
    erase(copy)
  }
}

function fromParts ({ name, aesKey, hmacKey }: StaticKeyParts): Required<Pick<SourceKey, 'name' | 'aesKey' | 'hmacKey'>> {
  const bytes = allocateSecret(aesKey.length + hmacKey.length)
  aesKey.copy(bytes)
  hmacKey.copy(bytes, aesKey.length)
  return { name: Buffer.from(name), aesKey: bytes.subarray(0, aesKey.length), hmacKey: bytes.subarray(aesKey.length) }
}

/** The times of a key that has any; those left out are "always" and "for ever". */
export function timesOf (key: StaticKey): KeyTimes | undefined {
  const { notBefore, issueUntil, acceptUntil }: Partial<KeyTimes> = Buffer.isBuffer(key) ? {} : key
  if (notBefore === undefined && issueUntil === undefined && acceptUntil === undefined) return undefined
  return { notBefore: notBefore ?? -Infinity, issueUntil: issueUntil ?? acceptUntil ?? Infinity, acceptUntil: acceptUntil ?? Infinity }
}
