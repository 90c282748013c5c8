import { Buffer } from 'node:buffer'
import { FormatError } from '../../util/errors.js'
import { checkKeys, isKeyLength } from '../validate.js'
import { MAX_KEYS, type KeySet, type TicketKey } from '../key.js'
import { nginx48, nginx80, node48 } from './binary.js'
import { listTimes, type Alloc, type Codec, type KeyFormat, type PlacedKey } from './format.js'
import { haproxy, isLikeHaproxy } from './haproxy.js'
import { json } from './json.js'
import { lighttpd } from './lighttpd.js'

export { issuingIndex, listTimes, type KeyFormat } from './format.js'
export { HAPROXY_MIN_KEYS } from './haproxy.js'

const CODECS: Readonly<Record<KeyFormat, Codec>> = { json, nginx48, nginx80, node48, haproxy, lighttpd }

/** Bytes of one key in the binary formats. Their files contain only keys, back to back. */
const BINARY_LENGTHS = { nginx48: 48, nginx80: 80, node48: 48, lighttpd: 92 } as const

/** The byte order mark of UTF-8. Some editors write it at the beginning of a text file. */
const BYTE_ORDER_MARK = Buffer.from('efbbbf', 'hex')

/** Every format, the default one first. */
export const KEY_FORMATS: readonly KeyFormat[] = Object.freeze(Object.keys(CODECS) as KeyFormat[])

/** Whether keys of this format carry their own times. */
export function isTimed (format: KeyFormat): boolean {
  return CODECS[format].timed
}

/**
 * Returns the binary formats that a file of `size` bytes can have. The content does not show the format: except for a
 * header, its bytes are random.
 */
export function guessFormats (size: number): KeyFormat[] {
  const formats = Object.keys(BINARY_LENGTHS) as (keyof typeof BINARY_LENGTHS)[]
  return formats.filter((format) => {
    const count = size / BINARY_LENGTHS[format]
    return Number.isInteger(count) && count >= 1 && count <= MAX_KEYS
  })
}

/**
 * Reads the keys of a file. Copies the key material to memory from `alloc`; it never becomes a string. On an error,
 * erases that memory. The caller erases `data`.
 *
 * @param format if `undefined`, only JSON is recognized; for other files, the error names the possible formats
 * @param where the name of the file, for errors
 * @throws FormatError, WeakKeyError
 */
export function parseKeys (
  data: Buffer, format: KeyFormat | undefined, where: string, alloc: Alloc = (bytes) => Buffer.alloc(bytes)
): KeySet {
  const known = format ?? recognize(data, where)
  if (data.length === 0) throw new FormatError(`${where} (${known}), byte 0: the file is empty`)
  const source = `${where} (${known})`
  const memory: Buffer[] = []
  const remember = (bytes: number) => {
    const buffer = alloc(bytes)
    memory.push(buffer)
    return buffer
  }
  try {
    const codec = CODECS[known]
    const placed = codec.parse(data, remember, (place, problem) => new FormatError(`${source}, ${place}: ${problem}`))
    const keys = placed.map(({ key }) => key)
    checkKeys(keys, source, (index) => (placed[index] as PlacedKey).place())
    return { keys, timed: codec.timed }
  } catch (error) {
    for (const buffer of memory) buffer.fill(0)
    throw error
  }
}

/**
 * Returns a file with these keys, in this order. The file has key material: erase it after use. Formats without times
 * drop the times. `lighttpd` keeps only the beginning and the end, in seconds.
 *
 * @throws FormatError if the format cannot hold keys of this length
 */
export function serializeKeys (keys: readonly TicketKey[], format: KeyFormat): Buffer {
  const { halfLength, serialize } = CODECS[format]
  const allowed = halfLength ?? (format === 'haproxy' ? keys[0]?.aesKey.length : undefined)
  for (const [index, { aesKey, hmacKey }] of keys.entries()) {
    if (!isKeyLength(aesKey, hmacKey) || (allowed !== undefined && aesKey.length !== allowed)) {
      const must = allowed === undefined ? '16 or 32' : `${allowed}`
      throw new FormatError(
        `${format}, key ${index + 1}: AES and HMAC keys must have ${must} bytes each, not ${aesKey.length} and ${hmacKey.length}`
      )
    }
  }
  return serialize(keys)
}

/**
 * Joins the keys of several files into one list, in the order of the files. In formats without times, the place in the
 * whole list decides which key issues.
 *
 * @param where the name of the directory, for errors
 * @throws WeakKeyError if files have the same key, or if there are more keys than a ring can hold
 */
export function joinKeySets (sets: readonly KeySet[], format: KeyFormat, where: string): KeySet {
  const joined = sets.flatMap(({ keys }) => keys)
  checkKeys(joined, `${where} (${format})`)
  const { timed } = CODECS[format]
  const keys = timed ? joined : joined.map((key, index) => ({ ...key, ...listTimes(format, index, joined.length) }))
  return { keys, timed }
}

function recognize (data: Buffer, where: string): KeyFormat {
  const isPlainText = data.every((byte) => (byte >= 0x20 && byte <= 0x7e) || (byte >= 0x09 && byte <= 0x0d))
  const first = data.find((byte) => byte > 0x20)
  if (isPlainText && first === 0x7b) return 'json'
  throw new FormatError(`${where} (${data.length} bytes): ${problemOf(data, isPlainText)}`)
}

function problemOf (data: Buffer, isPlainText: boolean): string {
  if (data.includes('-----BEGIN ')) return 'a PEM file, such as a certificate or its private key, and not a file of session ticket keys'
  return isPlainText ? textProblem(data) : binaryProblem(data)
}

function textProblem (data: Buffer): string {
  if (data.length === 0) return 'not JSON: the file is empty'
  if (isLikeHaproxy(data)) return 'not JSON; name its format, which could be haproxy'
  return 'text in no format of ticket keys: neither a JSON object, nor lines of 64 or 108 characters of base64 as in haproxy'
}

function binaryProblem (data: Buffer): string {
  if (data.subarray(0, 3).equals(BYTE_ORDER_MARK)) return 'not JSON: begins with a byte order mark; save it as UTF-8 without one'
  const could = guessFormats(data.length)
  return could.length === 0
    ? `not JSON, and of no size that another format has; name its format, one of ${KEY_FORMATS.join(', ')}`
    : `not JSON; name its format, which could be ${could.join(' or ')}`
}
