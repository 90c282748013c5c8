import { randomBytes, randomInt } from 'node:crypto'
import { serializeKeys, type KeyFormat } from '../../lib/keys/formats/index.js'
import { ACCEPTS } from '../../lib/keys/key.js'
import { randomKey } from './keys.js'

/** Length of a key in a file, in bytes. For JSON, more than any test file has. */
const KEY_BYTES: Record<KeyFormat, number> = { json: 1e6, nginx48: 48, nginx80: 80, node48: 48, haproxy: 109, lighttpd: 92 }

/**
 * A file that every reader of this format must refuse: truncated, with weak or repeated keys, or with random contents.
 */
export function malformed (format: KeyFormat): Buffer {
  const half = format.endsWith('48') ? 16 : 32
  const [first, second] = [randomKey(ACCEPTS, half), randomKey(undefined, half)]
  const good = serializeKeys([first, second], format)
  switch (randomInt(6)) {
    case 0:
      return cut(good, format)
    case 1:
      return serializeKeys(
        [first, { ...second, [randomInt(2) === 0 ? 'aesKey' : 'hmacKey']: Buffer.alloc(half, randomInt(256)) }],
        format
      )
    case 2:
      return serializeKeys([first, { ...second, name: first.name }], format)
    case 3:
      return serializeKeys([first, { ...second, hmacKey: first.aesKey }], format)
    case 4:
      return Buffer.concat([good, Buffer.alloc(randomInt(1, 40))])
    // Not a multiple of the key length.
    default:
      return randomBytes(Math.min(KEY_BYTES[format], 1000) * randomInt(4) + randomInt(1, 40))
  }
}

function cut (data: Buffer, format: KeyFormat): Buffer {
  const end = randomInt(1, data.length - 3)
  // Do not cut at the end of a key: the shorter list is valid. A HAProxy line may also be cut to the length of a
  // shorter key.
  const whole = format === 'haproxy' ? [0, 64, 108] : [0]
  return data.subarray(0, whole.includes(end % KEY_BYTES[format]) ? end + 2 : end)
}
