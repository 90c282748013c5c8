import { Buffer } from 'node:buffer'

const ALPHABET = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/', 'latin1')
const PAD = 0x3d
const INVALID = 0xff
const VALUES = new Uint8Array(256).fill(INVALID)
ALPHABET.forEach((character, value) => { VALUES[character] = value })

/**
 * Encodes bytes as base64 bytes (RFC 4648 section 4). Key material must never become a string: strings cannot be
 * erased, and stay in the heap until the engine reuses the memory.
 */
export function encodeBase64 (bytes: Uint8Array): Buffer {
  const text = Buffer.alloc(Math.ceil(bytes.length / 3) * 4, PAD)
  let write = 0
  let pending = 0
  let bits = 0
  for (const byte of bytes) {
    pending = (pending << 8 | byte) & 0xffff
    for (bits += 8; bits >= 6; bits -= 6) text[write++] = ALPHABET[pending >> bits - 6 & 0x3f] as number
  }
  if (bits > 0) text[write] = ALPHABET[pending << 6 - bits & 0x3f] as number
  return text
}

/**
 * Decodes base64 to memory from `alloc`. Returns `undefined` unless the text is canonical base64: padded, without white
 * space, and with zero pad bits (RFC 4648 section 3.5).
 */
export function decodeBase64 (text: Uint8Array, alloc: (bytes: number) => Buffer = Buffer.alloc): Buffer | undefined {
  if (text.length === 0 || text.length % 4 !== 0) return undefined
  const padding = text[text.length - 1] !== PAD ? 0 : text[text.length - 2] !== PAD ? 1 : 2
  const bytes = alloc(text.length / 4 * 3 - padding)
  let write = 0
  let pending = 0
  let bits = 0
  for (const character of text.subarray(0, text.length - padding)) {
    const value = VALUES[character] as number
    if (value === INVALID) return erase(bytes)
    pending = (pending << 6 | value) & 0xffff
    bits += 6
    if (bits >= 8) {
      bits -= 8
      bytes[write++] = pending >> bits
    }
  }
  const leftOver = pending & (1 << bits) - 1
  return leftOver === 0 ? bytes : erase(bytes)
}

function erase (bytes: Buffer): undefined {
  bytes.fill(0)
}
