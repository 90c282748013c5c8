import { HMAC_FIRST_48, HMAC_FIRST_80, keyLength } from '../keys/formats/binary.js'
import { ACCEPTS, ISSUES, type KeyMaterial, type KeyTimes, NAME_LENGTH, type SourceKey } from '../keys/key.js'
import { allocateSecret, eraseKeys } from '../native/secret-memory.js'
import type { KeySource, SourceKeys } from './key-source.js'

/**
 * A key in parts; with any of the times it keeps to them, without it takes its place in the list: the first issues. Times are ms since
 * 1970.
 */
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

  /** @param keys of the right form: lib/sources/index.ts has looked at them */
  constructor (keys: readonly StaticKey[]) {
    this.#timed = keys.some((key) => timesOf(key) !== undefined)
    this.#keys = keys.map((key, index) => ({
      ...copyOf(partsOf(key)),
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
    eraseKeys(this.#keys ?? [])
  }
}

/** The parts of a key of the right form: views, where it is bytes. */
export function partsOf (key: StaticKey): StaticKeyParts {
  if (!Buffer.isBuffer(key)) return key
  const { halfLength, aesOffset, hmacOffset } = key.length === keyLength(HMAC_FIRST_48) ? HMAC_FIRST_48 : HMAC_FIRST_80
  const half = (offset: number): Buffer => key.subarray(offset, offset + halfLength)
  return { name: key.subarray(0, NAME_LENGTH), aesKey: half(aesOffset), hmacKey: half(hmacOffset) }
}

function copyOf ({ name, aesKey, hmacKey }: StaticKeyParts): Required<Pick<SourceKey, 'name' | 'aesKey' | 'hmacKey'>> {
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
