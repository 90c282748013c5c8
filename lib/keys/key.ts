import type { Buffer } from 'node:buffer'
import type { KeyTimes } from '../native/types.js'

export { NAME_LENGTH } from '../native/types.js'
export type { KeyTimes, SourceKey } from '../native/types.js'

/** Most keys a ring can hold. */
export const MAX_KEYS = 256

/**
 * The secret half of a session ticket key. AES-256-CBC with 32-byte halves; imported 48-byte keys
 * have 16-byte halves and use AES-128-CBC. HMAC-SHA256 always.
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

/** What a key is at a moment: not yet issuing, issuing, or only accepting. */
export type KeyState = 'next' | 'current' | 'previous'

/** First 8 hex digits of the key's name, as metrics, logs and events show it. */
export function keyId (name: Uint8Array): string {
  let id = ''
  for (const byte of name.subarray(0, 4)) id += byte.toString(16).padStart(2, '0')
  return id
}

/** Times of a key in a list that has none of its own: it issues, as long as it stands in that place. */
export const ISSUES: Readonly<KeyTimes> = Object.freeze({ notBefore: 0, issueUntil: Infinity, acceptUntil: Infinity })
/** Times of a key in a list that has none of its own: it has issued, and goes on accepting. */
export const ACCEPTS: Readonly<KeyTimes> = Object.freeze({ notBefore: -Infinity, issueUntil: -Infinity, acceptUntil: Infinity })
/** Times of a key in a list that has none of its own: it will issue, and accepts already (HAProxy's last key). */
export const WILL_ISSUE: Readonly<KeyTimes> = Object.freeze({ notBefore: Infinity, issueUntil: Infinity, acceptUntil: Infinity })

/** Keys as a source gives them, in its order. */
export interface KeySet {
  keys: TicketKey[]
  /** `true`: the keys' times count; `false`: their order does, and the times are the constants above */
  timed: boolean
}
