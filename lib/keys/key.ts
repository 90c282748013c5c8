import type { Buffer } from 'node:buffer'
import type { KeyTimes } from '../native/types.js'

export { NAME_LENGTH } from '../native/types.js'
export type { KeyTimes, SourceKey } from '../native/types.js'

/** Maximum number of keys in a ring. */
export const MAX_KEYS = 256

/**
 * The secret part of a session ticket key: an AES key and an HMAC-SHA256 key. 32-byte AES keys use AES-256-CBC.
 * Imported 48-byte ticket keys have 16-byte AES keys and use AES-128-CBC.
 */
export interface KeyMaterial {
  /** 16 or 32 bytes */
  aesKey: Buffer
  /** as long as `aesKey` */
  hmacKey: Buffer
}

/** One session ticket key with its times. */
export interface TicketKey extends KeyMaterial, KeyTimes {
  /** 16 bytes, public */
  name: Buffer
}

/** State of a key at a given time: not issuing yet, issuing, or only accepting. */
export type KeyState = 'next' | 'current' | 'previous'

/** Returns the first 8 hex digits of the key's name, which metrics, logs and events show. */
export function keyId (name: Uint8Array): string {
  let id = ''
  for (const byte of name.subarray(0, 4)) id += byte.toString(16).padStart(2, '0')
  return id
}

/** Times of the issuing key in a list without times. It issues as long as it keeps its place in the list. */
export const ISSUES: Readonly<KeyTimes> = Object.freeze({ notBefore: 0, issueUntil: Infinity, acceptUntil: Infinity })
/** Times of an earlier key in a list without times. It only accepts tickets. */
export const ACCEPTS: Readonly<KeyTimes> = Object.freeze({ notBefore: -Infinity, issueUntil: -Infinity, acceptUntil: Infinity })
/** Times of a future key in a list without times. It accepts tickets already (HAProxy's last key). */
export const WILL_ISSUE: Readonly<KeyTimes> = Object.freeze({ notBefore: Infinity, issueUntil: Infinity, acceptUntil: Infinity })

/** Keys in the order of their file or files. */
export interface KeySet {
  keys: TicketKey[]
  /** `true`: the times decide which key issues; `false`: the order decides, and the times are the constants above */
  timed: boolean
}
