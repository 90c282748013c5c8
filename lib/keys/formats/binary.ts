import { Buffer } from 'node:buffer'
import { NAME_LENGTH, type KeyMaterial, type TicketKey } from '../key.js'
import { listTimes, type Alloc, type Codec, type KeyFormat } from './format.js'

/** Offsets of the parts of a key in its bytes. The name comes first in every layout. */
export interface Layout {
  halfLength: 16 | 32
  aesOffset: number
  hmacOffset: number
}

/** name 16, AES 16, HMAC 16 */
export const AES_FIRST_48: Layout = { halfLength: 16, aesOffset: 16, hmacOffset: 32 }
/** name 16, HMAC 16, AES 16 */
export const HMAC_FIRST_48: Layout = { halfLength: 16, aesOffset: 32, hmacOffset: 16 }
/** name 16, AES 32, HMAC 32 */
export const AES_FIRST_80: Layout = { halfLength: 32, aesOffset: 16, hmacOffset: 48 }
/** name 16, HMAC 32, AES 32 */
export const HMAC_FIRST_80: Layout = { halfLength: 32, aesOffset: 48, hmacOffset: 16 }

/** Returns the length of one key in bytes. */
export function keyLength ({ halfLength }: Layout): number {
  return NAME_LENGTH + 2 * halfLength
}

/** Returns the key whose bytes begin at `offset`. Copies the AES and HMAC keys to memory from `alloc`. */
export function readKey (data: Buffer, offset: number, layout: Layout, alloc: Alloc): KeyMaterial & { name: Buffer } {
  const part = (start: number, target: Buffer) => {
    data.copy(target, 0, offset + start, offset + start + target.length)
    return target
  }
  return {
    name: part(0, Buffer.alloc(NAME_LENGTH)),
    aesKey: part(layout.aesOffset, alloc(layout.halfLength)),
    hmacKey: part(layout.hmacOffset, alloc(layout.halfLength))
  }
}

/** Writes a key at `offset`. */
export function writeKey (target: Buffer, offset: number, layout: Layout, key: TicketKey): void {
  key.name.copy(target, offset)
  key.aesKey.copy(target, offset + layout.aesOffset)
  key.hmacKey.copy(target, offset + layout.hmacOffset)
}

function binaryCodec (format: KeyFormat, layout: Layout): Codec {
  const length = keyLength(layout)
  return {
    timed: false,
    halfLength: layout.halfLength,

    parse (data, alloc, fail) {
      const count = data.length / length
      if (!Number.isInteger(count)) {
        const end = Math.floor(count) * length
        throw fail(`byte ${end}`, `the file ends after ${data.length - end} of a key's ${length} bytes`)
      }
      return Array.from({ length: count }, (_, index) => ({
        key: { ...readKey(data, index * length, layout, alloc), ...listTimes(format, index, count) },
        place: () => `byte ${index * length}`
      }))
    },

    serialize (keys) {
      const data = Buffer.alloc(keys.length * length)
      keys.forEach((key, index) => writeKey(data, index * length, layout, key))
      return data
    }
  }
}

export const nginx48 = binaryCodec('nginx48', AES_FIRST_48)
export const node48 = binaryCodec('node48', HMAC_FIRST_48)
export const nginx80 = binaryCodec('nginx80', HMAC_FIRST_80)
