import type { Buffer } from 'node:buffer'
import { ACCEPTS, ISSUES, WILL_ISSUE, type KeyTimes, type TicketKey } from '../key.js'

/** Formats of key files. docs/key-formats.md has the byte layouts. */
export type KeyFormat = 'json' | 'nginx48' | 'nginx80' | 'node48' | 'haproxy' | 'lighttpd'

/** Returns `bytes` bytes of zeroed memory for key material. */
export type Alloc = (bytes: number) => Buffer

/** Makes the error for a place in the file. */
export type Fail = (place: string, problem: string) => Error

/** A key and its place in the file. `place` is a function: only errors need it, and counting lines needs a scan. */
export interface PlacedKey {
  key: TicketKey
  place: () => string
}

/** Reads and writes one format. */
export interface Codec {
  /** whether keys have their own times; if not, the order of the keys decides which key issues */
  timed: boolean
  /** bytes in each of a key's halves, for formats that allow only one length */
  halfLength?: 16 | 32
  parse (data: Buffer, alloc: Alloc, fail: Fail): PlacedKey[]
  serialize (keys: readonly TicketKey[]): Buffer
}

/**
 * Returns the times that a key's place in an untimed list implies. The first key issues, and the other keys only
 * accept. In HAProxy's lists, the second to last key issues, and the last key issues next.
 */
export function listTimes (format: KeyFormat, index: number, count: number): KeyTimes {
  const issuing = issuingIndex(format, count)
  return index === issuing ? ISSUES : index > issuing && format === 'haproxy' ? WILL_ISSUE : ACCEPTS
}

/** Returns the index of the key that issues in an untimed list. */
export function issuingIndex (format: KeyFormat, count: number): number {
  return format === 'haproxy' ? Math.max(count - 2, 0) : 0
}
