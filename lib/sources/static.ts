import { HMAC_FIRST_48, HMAC_FIRST_80, keyLength } from '../keys/formats/binary.js'
import { ACCEPTS, ISSUES, type KeyMaterial, type KeyTimes, NAME_LENGTH, type SourceKey } from '../keys/key.js'
import { allocateSecret, eraseKeys } from '../native/secret-memory.js'
import type { KeySource, SourceKeys } from './key-source.js'

/**
 * A key in parts. If it has any times (ms since 1970), the times decide when it issues and accepts. Without times, its
 * place in the list decides: the first key issues.
 */
export interface StaticKeyParts extends KeyMaterial, Partial<KeyTimes> {
  /** 16 bytes */
  name: Buffer
}

/**
 * A key from the caller, in parts or as bytes. 80 bytes have the `nginx80` layout, and 48 bytes have the layout of
 * `ticketKeys` of `tls.Server`. Both layouts are name, HMAC key, AES key.
 */
export type StaticKey = StaticKeyParts | Buffer

/**
 * Keys that never change. Without times, the first key issues and the others only accept. The caller's buffers are
 * copied, and stay as they are.
 */
export class StaticSource implements KeySource {
  readonly type = 'static'
  #keys: SourceKey[] | null
  readonly #timed: boolean

  /** @param keys checked keys: lib/sources/make-source.ts checks them */
  constructor (keys: readonly StaticKey[]) {
    this.#timed = keys.some((key) => timesOf(key) !== undefined)
    this.#keys = keys.map((key, index) => ({
      ...copyOf(partsOf(key)),
      ...(timesOf(key) ?? (index === 0 ? ISSUES : ACCEPTS))
    }))
  }

  load (): SourceKeys | null {
    const keys = this.#keys
    // The keys now belong to the ring.
    this.#keys = null
    return keys === null ? null : { keys, timed: this.#timed }
  }

  close (): void {
    eraseKeys(this.#keys ?? [])
  }
}

/** Returns the parts of a checked key. For a Buffer, the parts are views. */
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

/**
 * Returns the times of a key, or `undefined` if it has none. Missing times mean no limit, except that `issueUntil` is
 * `acceptUntil` if only the latter is given.
 */
export function timesOf (key: StaticKey): KeyTimes | undefined {
  const { notBefore, issueUntil, acceptUntil }: Partial<KeyTimes> = Buffer.isBuffer(key) ? {} : key
  if (notBefore === undefined && issueUntil === undefined && acceptUntil === undefined) return undefined
  return { notBefore: notBefore ?? -Infinity, issueUntil: issueUntil ?? acceptUntil ?? Infinity, acceptUntil: acceptUntil ?? Infinity }
}
