import { NAME_LENGTH, type SourceKey } from '../keys/key.js'
import type { NativeManager } from '../native/types.js'
import { allocateSecret, erase } from '../native/secret-memory.js'

/** The times that are sent with the keys. */
export interface RingTimes {
  /** when the primary will have new keys, ms since 1970 */
  refreshAt: number
  /** the primary's ticketLifetime, ms */
  ticketLifetime: number
  /** the primary's rotationInterval, ms */
  rotationInterval: number
}

const MAX_KEY_LENGTH = 32
/** refreshAt, ticketLifetime, rotationInterval, number of keys */
const HEADER_LENGTH = 8 + 8 + 8 + 2
/** name, three times, key length, AES key, HMAC key */
const ENTRY_LENGTH = NAME_LENGTH + 3 * 8 + 1 + 2 * MAX_KEY_LENGTH

/** Serializes the keys of a native ring into locked memory. The caller must erase the record. */
export function writeRing (native: NativeManager, { refreshAt, ticketLifetime, rotationInterval }: RingTimes): Buffer {
  const halves = allocateSecret(2 * MAX_KEY_LENGTH * native.keyTimes().length)
  try {
    const keys = native.exportKeys(halves)
    const record = allocateSecret(HEADER_LENGTH + ENTRY_LENGTH * keys.length)
    let at = record.writeDoubleBE(refreshAt, 0)
    at = record.writeDoubleBE(ticketLifetime, at)
    at = record.writeDoubleBE(rotationInterval, at)
    at = record.writeUInt16BE(keys.length, at)
    keys.forEach(({ name, notBefore, issueUntil, acceptUntil, keyLength }, index) => {
      at += name.copy(record, at)
      for (const time of [notBefore, issueUntil, acceptUntil]) at = record.writeDoubleBE(time, at)
      at = record.writeUInt8(keyLength, at)
      at += halves.copy(record, at, 2 * MAX_KEY_LENGTH * index, 2 * MAX_KEY_LENGTH * (index + 1))
    })
    return record
  } finally {
    erase(halves)
  }
}

/** Parses a record of `writeRing`. @param alloc allocates memory for the key bytes */
export function readRing (record: Buffer, alloc: (bytes: number) => Buffer): RingTimes & { keys: SourceKey[] } {
  const copy = (from: number, bytes: number): Buffer => {
    const half = alloc(bytes)
    record.copy(half, 0, from, from + bytes)
    return half
  }
  const keys = Array.from({ length: record.readUInt16BE(24) }, (_, index) => {
    const start = HEADER_LENGTH + ENTRY_LENGTH * index
    const times = start + NAME_LENGTH
    const keyLength = record.readUInt8(times + 24)
    return {
      name: Buffer.from(record.subarray(start, times)),
      notBefore: record.readDoubleBE(times),
      issueUntil: record.readDoubleBE(times + 8),
      acceptUntil: record.readDoubleBE(times + 16),
      aesKey: copy(times + 25, keyLength),
      hmacKey: copy(times + 25 + MAX_KEY_LENGTH, keyLength)
    }
  })
  return {
    refreshAt: record.readDoubleBE(0),
    ticketLifetime: record.readDoubleBE(8),
    rotationInterval: record.readDoubleBE(16),
    keys
  }
}
