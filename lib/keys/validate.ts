import { Buffer } from 'node:buffer'
import { WeakKeyError } from '../util/errors.js'
import { MAX_KEYS, NAME_LENGTH, type KeyMaterial, type TicketKey } from './key.js'

/** Bytes of printable text in a row that cannot be chance: once in 10^13 keys. */
const TEXT_LENGTH = 32

/** One half of a key's material, and whose it is. */
interface Half {
  bytes: Buffer
  key: number
}

/**
 * Refuses keys that nobody drew at random: unfilled slots, passwords, files padded with one byte, the
 * same key twice. Messages say which key and what is wrong with it, and hold no byte of it: not even
 * of its name, since a file read in the wrong format has key bytes where the name should be.
 *
 * @param where what the keys were read from, for messages
 * @param place where a key stands in it, by index
 * @throws WeakKeyError
 */
export function checkKeys (
  keys: readonly TicketKey[],
  where: string,
  place: (index: number) => string = (index) => `key ${index + 1}`
): void {
  if (keys.length === 0) throw new WeakKeyError(`${where}: holds no key`)
  if (keys.length > MAX_KEYS) throw new WeakKeyError(`${where}: holds ${keys.length} keys, more than ${MAX_KEYS}`)
  const [weak] = weakKeys(keys, place)
  if (weak !== undefined) throw new WeakKeyError(`${where}, ${place(weak.index)}: ${weak.problem}`)
}

/** Which keys {@link checkKeys} would refuse, and why: each key once, and its own faults before what it shares with another. */
export function weakKeys (
  keys: ReadonlyArray<KeyMaterial & { name: Buffer }>, place: (index: number) => string
): Array<{ index: number, problem: string }> {
  const found = new Map<number, string>()
  const note = (index: number, problem: string): void => { if (!found.has(index)) found.set(index, problem) }
  keys.forEach((key, index) => {
    const problem = problemOf(key)
    if (problem !== undefined) note(index, problem)
  })
  const names = keys.map((key, index) => ({ bytes: key.name, key: index }))
  for (const [first, second] of findEqual(names)) note(second, `has the same name as the key at ${place(first)}`)
  const halves = keys.flatMap((key, index) => [{ bytes: key.aesKey, key: index }, { bytes: key.hmacKey, key: index }])
  for (const [first, second] of findEqual(halves)) {
    note(second, first === second ? 'its AES key and its HMAC key are equal' : `shares key bytes with the key at ${place(first)}`)
  }
  return [...found].map(([index, problem]) => ({ index, problem }))
}

function problemOf ({ name, aesKey, hmacKey }: KeyMaterial & { name: Buffer }): string | undefined {
  if (name.length !== NAME_LENGTH) return `its name has ${name.length} bytes, not ${NAME_LENGTH}`
  if (aesKey.length !== hmacKey.length || (aesKey.length !== 16 && aesKey.length !== 32)) {
    return `its AES key has ${aesKey.length} bytes and its HMAC key ${hmacKey.length}; both must have 16, or both 32`
  }
  // An unfilled slot would match a ticket that anybody can make up (CVE-2020-13777 was of that kind).
  if (isOneByte(name) && name[0] === 0) return 'its name is all zero, as in a slot that was never filled'
  for (const [half, bytes] of [['AES', aesKey], ['HMAC', hmacKey]] as const) {
    if (isOneByte(bytes)) return `its ${half} key is ${bytes[0] === 0 ? 'all zero' : 'one byte repeated'}`
    if (bytes.length >= TEXT_LENGTH && isText(bytes)) return `its ${half} key is printable text, not random bytes`
  }
  if (isText(aesKey) && isText(hmacKey)) return 'its AES and HMAC keys are printable text, not random bytes'
  return undefined
}

function isOneByte (bytes: Buffer): boolean {
  return bytes.every((byte) => byte === bytes[0])
}

function isText (bytes: Buffer): boolean {
  return bytes.every((byte) => (byte >= 0x20 && byte <= 0x7e) || (byte >= 0x09 && byte <= 0x0d))
}

/** The keys, in order, of each two equal entries. Sorting the Buffers themselves keeps their bytes out of strings. */
function findEqual (entries: Half[]): Array<[number, number]> {
  const sorted = entries.toSorted((a, b) => Buffer.compare(a.bytes, b.bytes) || a.key - b.key)
  const pairs: Array<[number, number]> = []
  for (let i = 1; i < sorted.length; i++) {
    const [before, here] = [sorted[i - 1] as Half, sorted[i] as Half]
    if (before.bytes.equals(here.bytes)) pairs.push([before.key, here.key])
  }
  return pairs
}
