import { Buffer } from 'node:buffer'
import type { KeyTimes } from '../key.js'
import { HMAC_FIRST_80, keyLength, readKey, writeKey } from './binary.js'
import type { Codec } from './format.js'

const HEADER_LENGTH = 12
const LENGTH = HEADER_LENGTH + keyLength(HMAC_FIRST_80)
const VERSION = 0

/**
 * The latest time that the header can hold, in seconds: lighttpd reads signed 32-bit numbers. As the expiry it means
 * for ever, and as the activation it means never.
 */
const LAST_SECOND = 0x7fffffff

/**
 * lighttpd's `ssl.stek-file`: version, activation and expiry, then the key as in `nginx80`. lighttpd reads the header
 * as an array of `int` in the machine's byte order. This codec uses little-endian, the byte order of nearly every
 * machine that runs lighttpd. A file of lighttpd has one key. This codec also accepts several keys back to back.
 *
 * lighttpd issues with a key until the key expires or a newer key is active, so `issueUntil` equals `acceptUntil`.
 */
export const lighttpd: Codec = {
  timed: true,
  halfLength: 32,

  parse (data, alloc, fail) {
    const count = data.length / LENGTH
    if (!Number.isInteger(count)) {
      const end = Math.floor(count) * LENGTH
      throw fail(`byte ${end}`, `the file ends after ${data.length - end} of a key's ${LENGTH} bytes`)
    }
    return Array.from({ length: count }, (_, index) => {
      const offset = index * LENGTH
      const version = data.readInt32LE(offset)
      if (version !== VERSION) throw fail(`byte ${offset}`, `version ${VERSION} expected`)
      const activation = data.readInt32LE(offset + 4)
      const expiry = data.readInt32LE(offset + 8)
      if (activation < 0) throw fail(`byte ${offset + 4}`, 'activation is not between 1970 and 2038, in little-endian order')
      if (expiry < 0) throw fail(`byte ${offset + 8}`, 'expiry is not between 1970 and 2038, in little-endian order')
      if (expiry <= activation && expiry !== LAST_SECOND) throw fail(`byte ${offset + 8}`, 'expiry is not after activation')
      return {
        key: { ...readKey(data, offset + HEADER_LENGTH, HMAC_FIRST_80, alloc), ...toTimes(activation, expiry) },
        place: () => `byte ${offset}`
      }
    })
  },

  serialize (keys) {
    const data = Buffer.alloc(keys.length * LENGTH)
    keys.forEach((key, index) => {
      const offset = index * LENGTH
      data.writeInt32LE(VERSION, offset)
      data.writeInt32LE(toActivation(key), offset + 4)
      data.writeInt32LE(clamp(Math.floor(key.acceptUntil / 1000)), offset + 8)
      writeKey(data, offset + HEADER_LENGTH, HMAC_FIRST_80, key)
    })
    return data
  }
}

function toTimes (activation: number, expiry: number): KeyTimes {
  const end = expiry === LAST_SECOND ? Infinity : expiry * 1000
  return {
    notBefore: activation === 0 ? -Infinity : activation === LAST_SECOND ? Infinity : activation * 1000,
    issueUntil: end,
    acceptUntil: end
  }
}

/**
 * Returns 0 only for a key without a beginning. A key that begins in 1970 gets at least 1, and so stays the newer key.
 */
function toActivation ({ notBefore }: KeyTimes): number {
  return notBefore === -Infinity ? 0 : Math.max(1, clamp(Math.ceil(notBefore / 1000)))
}

function clamp (seconds: number): number {
  return Math.min(Math.max(seconds, 0), LAST_SECOND)
}
