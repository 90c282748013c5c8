import { Buffer } from 'node:buffer'
import { WeakKeyError } from '../util/errors.js'
import { MAX_KEYS, NAME_LENGTH, type KeyTimes, type SourceKey } from './key.js'

/** A random key of this many bytes is printable text only once in 10^13 keys. */
const TEXT_LENGTH = 32

/**
 * Returns what is wrong with the form of a key from JavaScript, or `undefined`. The text follows the key's place in a
 * message. `aesKey` and `hmacKey` may both be missing.
 */
export function shapeProblem (key: unknown): string | undefined {
  if (typeof key !== 'object' || key === null) return 'must be an object with name, aesKey and hmacKey'
  const { name, aesKey, hmacKey, notBefore, issueUntil, acceptUntil } = key as Record<string, unknown>
  if (!Buffer.isBuffer(name) || name.length !== NAME_LENGTH) return `must have a name of ${NAME_LENGTH} bytes (a Buffer)`
  const halves = [aesKey, hmacKey].filter((half) => half !== undefined)
  if (halves.length === 1 || !halves.every((half) => Buffer.isBuffer(half))) return 'must have an aesKey and an hmacKey that are Buffers'
  if (!isTime(notBefore) || !isTime(issueUntil) || !isTime(acceptUntil)) {
    return 'must have times in milliseconds since 1970: notBefore, issueUntil, acceptUntil'
  }
  const problem = timesProblem({ notBefore, issueUntil, acceptUntil })
  return problem === undefined ? undefined : 'must have notBefore, issueUntil, acceptUntil in that order'
}

/** Returns which times of a key are in the wrong order, or `undefined`. */
export function timesProblem ({ notBefore, issueUntil, acceptUntil }: KeyTimes): string | undefined {
  if (notBefore > issueUntil) return 'issueUntil is before notBefore'
  return issueUntil > acceptUntil ? 'acceptUntil is before issueUntil' : undefined
}

/** Returns true for every number except NaN. Infinities are valid times. */
export function isTime (value: unknown): value is number {
  return typeof value === 'number' && !Number.isNaN(value)
}

/**
 * Refuses keys that are not random: unused slots, passwords, files padded with one byte, duplicate keys. Messages name
 * a key by its place. They contain neither its bytes nor its name: a file that is read in the wrong format has key
 * bytes where the name should be.
 *
 * @param keys must have the right form; keys without bytes are never weak
 * @param where the name of the file or source, for messages
 * @param place returns the place of the key with this index, for messages
 * @throws WeakKeyError
 */
export function checkKeys (
  keys: readonly SourceKey[],
  where: string,
  place: (index: number) => string = (index) => `key ${index + 1}`
): void {
  if (keys.length === 0) throw new WeakKeyError(`${where}: holds no key`)
  if (keys.length > MAX_KEYS) throw new WeakKeyError(`${where}: holds ${keys.length} keys, more than ${MAX_KEYS}`)
  const [weak] = weakKeys(keys, place)
  if (weak !== undefined) throw new WeakKeyError(`${where}, ${place(weak.index)}: ${weak.problem}`)
}

/**
 * Returns the keys that {@link checkKeys} refuses, each once, with its first problem. Problems of the key itself come
 * before problems with another key.
 */
export function weakKeys (
  keys: ReadonlyArray<Pick<SourceKey, 'name' | 'aesKey' | 'hmacKey'>>, place: (index: number) => string
): Array<{ index: number, problem: string }> {
  const found = new Map<number, string>()
  const note = (index: number, problem: string): void => { if (!found.has(index)) found.set(index, problem) }
  keys.forEach(({ name, aesKey, hmacKey }, index) => {
    const problem = aesKey === undefined || hmacKey === undefined ? undefined : strengthProblem(name, aesKey, hmacKey)
    if (problem !== undefined) note(index, problem)
  })
  const names = keys.map(({ name }, key) => ({ bytes: name, key }))
  for (const [first, second] of findEqual(names)) note(second, `has the same name as the key at ${place(first)}`)
  const halves = keys.flatMap(({ aesKey, hmacKey }, key) =>
    [aesKey, hmacKey].filter((bytes) => bytes !== undefined).map((bytes) => ({ bytes, key })))
  for (const [first, second] of findEqual(halves)) {
    note(second, first === second ? 'its AES key and its HMAC key are equal' : `shares key bytes with the key at ${place(first)}`)
  }
  return [...found].map(([index, problem]) => ({ index, problem }))
}

function strengthProblem (name: Buffer, aesKey: Buffer, hmacKey: Buffer): string | undefined {
  if (name.length !== NAME_LENGTH) return `its name has ${name.length} bytes, not ${NAME_LENGTH}`
  if (!isKeyLength(aesKey, hmacKey)) {
    return `its AES key has ${aesKey.length} bytes and its HMAC key ${hmacKey.length}; both must have 16, or both 32`
  }
  // An unused slot is an all-zero key, for which anybody can forge tickets. CVE-2020-13777 was a bug of this kind.
  if (isOneByte(name) && name[0] === 0) return 'its name is all zero, as in a slot that was never filled'
  for (const [half, bytes] of [['AES', aesKey], ['HMAC', hmacKey]] as const) {
    if (isOneByte(bytes)) return `its ${half} key is ${bytes[0] === 0 ? 'all zero' : 'one byte repeated'}`
    if (bytes.length >= TEXT_LENGTH && isText(bytes)) return `its ${half} key is printable text, not random bytes`
  }
  if (isText(aesKey) && isText(hmacKey)) return 'its AES and HMAC keys are printable text, not random bytes'
  return undefined
}

/** True if both halves have 16 bytes, or both have 32. */
export function isKeyLength (aesKey: Buffer, hmacKey: Buffer): boolean {
  return aesKey.length === hmacKey.length && (aesKey.length === 16 || aesKey.length === 32)
}

function isOneByte (bytes: Buffer): boolean {
  return bytes.every((byte) => byte === bytes[0])
}

function isText (bytes: Buffer): boolean {
  return bytes.every((byte) => (byte >= 0x20 && byte <= 0x7e) || (byte >= 0x09 && byte <= 0x0d))
}

/**
 * Returns the indices of the two keys of each pair of equal entries. Sorts the Buffers themselves, so that no key bytes
 * become strings.
 */
function findEqual (entries: Array<{ bytes: Buffer, key: number }>): Array<[number, number]> {
  const sorted = entries.toSorted((a, b) => Buffer.compare(a.bytes, b.bytes) || a.key - b.key)
  const pairs: Array<[number, number]> = []
  for (let i = 1; i < sorted.length; i++) {
    const [before, here] = sorted.slice(i - 1, i + 1)
    if (before !== undefined && here?.bytes.equals(before.bytes) === true) pairs.push([before.key, here.key])
  }
  return pairs
}
