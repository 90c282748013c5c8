import { randomBytes, randomInt } from 'node:crypto'
import { serializeKeys, type KeyFormat } from '../../lib/keys/formats/index.js'
import { ACCEPTS } from '../../lib/keys/key.js'
import { randomKey } from './keys.js'

/** Bytes of a key in a file; of JSON, more than a test's files have. */
const KEY_BYTES: Record<KeyFormat, number> = { json: 1e6, nginx48: 48, nginx80: 80, node48: 48, haproxy: 109, lighttpd: 92 }

/** A file that no reader of this format may take: cut, not random, or not of the format at all. */
export function malformed (format: KeyFormat): Buffer {
  const half = format.endsWith('48') ? 16 : 32
  const [first, second] = [randomKey(ACCEPTS, half), randomKey(undefined, half)]
  const good = serializeKeys([first, second], format)
  switch (randomInt(6)) {
    case 0: return cut(good, format)
    case 1: return serializeKeys([first, { ...second, [randomInt(2) === 0 ? 'aesKey' : 'hmacKey']: Buffer.alloc(half, randomInt(256)) }], format)
    case 2: return serializeKeys([first, { ...second, name: first.name }], format)
    case 3: return serializeKeys([first, { ...second, hmacKey: first.aesKey }], format)
    case 4: return Buffer.concat([good, Buffer.alloc(randomInt(1, 40))])
    // Of no length that keys have.
    default: return randomBytes(Math.min(KEY_BYTES[format], 1000) * randomInt(4) + randomInt(1, 40))
  }
}

function cut (data: Buffer, format: KeyFormat): Buffer {
  const end = randomInt(1, data.length - 3)
  // Where a key ends, a list may end; and so may the first line of HAProxy's where a shorter key's would.
  const whole = format === 'haproxy' ? [0, 64, 108] : [0]
  return data.subarray(0, whole.includes(end % KEY_BYTES[format]) ? end + 2 : end)
}
