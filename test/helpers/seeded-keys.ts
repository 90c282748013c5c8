import { Buffer } from 'node:buffer'
import { createHash, randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { FormatError, WeakKeyError } from '../../lib/util/errors.js'
import { checkKeys } from '../../lib/keys/validate.js'
import { KEY_FORMATS, parseKeys, serializeKeys, type KeyFormat } from '../../lib/keys/formats/index.js'
import type { KeyTimes, TicketKey } from '../../lib/keys/key.js'

/** The lengths of AES and HMAC keys that each format can hold. */
export const KEY_LENGTHS: Record<KeyFormat, readonly (16 | 32)[]> = {
  json: [16, 32], nginx48: [16], nginx80: [32], node48: [16], haproxy: [16, 32], lighttpd: [32]
}

export const NOW = Date.parse('2030-01-31T12:00:00.000Z')

/** A random key. */
export function makeKey (
  keyLength: 16 | 32 = 32,
  times: KeyTimes = { notBefore: -Infinity, issueUntil: NOW + 3_600_000, acceptUntil: NOW + 7_200_000 }
): TicketKey {
  return { name: randomBytes(16), aesKey: randomBytes(keyLength), hmacKey: randomBytes(keyLength), ...times }
}

/** Distinct keys derived from a seed, so that fast-check can shrink and repeat a failing case. */
export function seededKeys (seed: number, count: number, keyLength: number): TicketKey[] {
  const bytes = (what: string, length: number) => createHash('sha256').update(`${seed} ${what}`).digest().subarray(0, length)
  return Array.from({ length: count }, (_, index) => ({
    name: bytes(`name ${index}`, 16),
    aesKey: bytes(`aes ${index}`, keyLength),
    hmacKey: bytes(`hmac ${index}`, keyLength),
    notBefore: index === 0 ? -Infinity : NOW + index * 1000,
    issueUntil: index === 3 ? Infinity : NOW + (index + 1) * 1000,
    acceptUntil: index === 3 ? Infinity : NOW + (index + 1) * 1000
  }))
}

export const anyFormat = fc.constantFrom(...KEY_FORMATS)

/** For fast-check: a valid key file of any format, with its keys. */
export const anyFile = fc
  .tuple(anyFormat, fc.integer(), fc.integer({ min: 1, max: 9 }), fc.nat({ max: 1 }))
  .map(([format, seed, count, which]) => {
    const keyLength = KEY_LENGTHS[format][which % KEY_LENGTHS[format].length] as number
    const keys = seededKeys(seed, count, keyLength)
    return { format, keys, data: serializeKeys(keys, format) }
  })

export const material = ({ name, aesKey, hmacKey }: TicketKey) => ({ name, aesKey, hmacKey })

export const times = ({ notBefore, issueUntil, acceptUntil }: KeyTimes) => ({ notBefore, issueUntil, acceptUntil })

/** Parses a file. Returns a FormatError or WeakKeyError, and throws every other error. */
export function parseOrError (data: Buffer, format: KeyFormat | undefined): Error | undefined {
  try {
    const { keys, timed } = parseKeys(data, format, 'keys.bin')
    checkKeys(keys, 'again')
    for (const key of keys) {
      if (Number.isNaN(key.notBefore + 0) || (timed && !(key.notBefore <= key.issueUntil && key.issueUntil <= key.acceptUntil))) {
        throw new Error('times out of order')
      }
    }
    return undefined
  } catch (error) {
    if (error instanceof FormatError || error instanceof WeakKeyError) return error
    throw error
  }
}
