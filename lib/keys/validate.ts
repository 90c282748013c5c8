import { Buffer } from 'node:buffer'
import { WeakKeyError } from '../util/errors.js'
import { MAX_KEYS, NAME_LENGTH, type KeyTimes, type SourceKey } from './key.js'

/** Bytes of printable text in a row that cannot be chance: once in 10^13 keys. */
const TEXT_LENGTH = 32

/** Says what is wrong with the shape of a key that a program gave, in words that follow the key's place. Bytes may be absent. */
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

/** Says whether the times of a key are in the wrong order. */
export function timesProblem ({ notBefore, issueUntil, acceptUntil }: KeyTimes): string | undefined {
  if (notBefore > issueUntil) return 'issueUntil is before notBefore'
  return issueUntil > acceptUntil ? 'acceptUntil is before issueUntil' : undefined
}

/** Infinities are times, too. */
export function isTime (value: unknown): value is number {
  return typeof value === 'number' && !Number.isNaN(value)
}

/**
 * Refuses keys that nobody drew at random: slots that were never filled, passwords, files padded with one byte, the same key twice.
 * A message names the key by its place and holds no byte of the key. It does not hold the key's name either: a file that is read in the
 * wrong format has key bytes where the name should be.
 *
 * @param keys of the right shape; only those with bytes can be weak
 * @param where what the keys were read from, for messages
 * @param place where a key stands in it, by index
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

/** Lists the keys that {@link checkKeys} would refuse, and why: each key once, and its own faults before what it shares with another. */
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
  // A slot that was never filled would match a ticket that anybody can make up (CVE-2020-13777 was of that kind).
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

/** Returns the indices of the two keys of each pair of equal entries. Sorting the Buffers themselves keeps their bytes out of strings. */
function findEqual (entries: Array<{ bytes: Buffer, key: number }>): Array<[number, number]> {
  const sorted = entries.toSorted((a, b) => Buffer.compare(a.bytes, b.bytes) || a.key - b.key)
  const pairs: Array<[number, number]> = []
  for (let i = 1; i < sorted.length; i++) {
    const [before, here] = sorted.slice(i - 1, i + 1)
    if (before !== undefined && here?.bytes.equals(before.bytes) === true) pairs.push([before.key, here.key])
  }
  return pairs
}
