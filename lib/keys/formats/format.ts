import type { Buffer } from 'node:buffer'
import { ACCEPTS, ISSUES, WILL_ISSUE, type KeyTimes, type TicketKey } from '../key.js'

/** What a key file can be written in; docs/key-formats.md has the byte layouts. */
export type KeyFormat = 'json' | 'nginx48' | 'nginx80' | 'node48' | 'haproxy' | 'lighttpd'

/** Memory for key material: `bytes` long, zeroed. */
export type Alloc = (bytes: number) => Buffer

/** Makes the error for a place in the file. */
export type Fail = (place: string, problem: string) => Error

/** A key and where it stood. The place is worked out only for an error: counting lines costs a scan. */
export interface PlacedKey {
  key: TicketKey
  place: () => string
}

/** One format, read and written. */
export interface Codec {
  /** whether keys carry their times; if not, their order says which one issues */
  timed: boolean
  /** bytes in each of a key's halves, for formats that allow only one length */
  halfLength?: 16 | 32
  parse (data: Buffer, alloc: Alloc, fail: Fail): PlacedKey[]
  serialize (keys: readonly TicketKey[]): Buffer
}

/**
 * The times that a key's place in an untimed list implies: the first issues, and the others have
 * issued before; in HAProxy's lists the last but one issues, and the last one will.
 */
export function listTimes (format: KeyFormat, index: number, count: number): KeyTimes {
  const issuing = issuingIndex(format, count)
  return index === issuing ? ISSUES : index > issuing && format === 'haproxy' ? WILL_ISSUE : ACCEPTS
}

/** Which key of an untimed list issues. */
export function issuingIndex (format: KeyFormat, count: number): number {
  return format === 'haproxy' ? Math.max(count - 2, 0) : 0
}
