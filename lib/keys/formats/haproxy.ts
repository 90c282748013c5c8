import { Buffer } from 'node:buffer'
import { decodeBase64, encodeBase64 } from '../base64.js'
import { MAX_KEYS, type TicketKey } from '../key.js'
import { AES_FIRST_48, AES_FIRST_80, keyLength, readKey, writeKey, type Layout } from './binary.js'
import { listTimes, type Codec } from './format.js'

const LAYOUTS: readonly Layout[] = [AES_FIRST_48, AES_FIRST_80]
const NEWLINE = 0x0a
const RETURN = 0x0d

/** Minimum number of lines that HAProxy accepts (TLS_TICKETS_NO in its source). */
export const HAPROXY_MIN_KEYS = 3

/** HAProxy's `tls-ticket-keys` file: one base64 key per line, oldest first. The second to last key issues. */
export const haproxy: Codec = {
  timed: false,

  parse (data, alloc, fail) {
    const lines = splitLines(data)
    if (lines.length > MAX_KEYS) throw fail(`line ${MAX_KEYS + 1}`, `more than ${MAX_KEYS} keys`)
    let length = 0
    return lines.map((line, index) => {
      const place = () => `line ${index + 1}`
      const layout = LAYOUTS.find((candidate) => textLength(candidate) === line.length)
      if (layout === undefined) {
        throw fail(place(), `${line.length} characters, not the 64 or 108 that 48 or 80 bytes have in base64`)
      }
      const decoded = decodeBase64(line, alloc)
      // A line of the right length can still have the wrong number of bytes, because of its padding.
      if (decoded === undefined || decoded.length !== keyLength(layout)) throw fail(place(), 'not base64')
      if (length !== 0 && length !== decoded.length) {
        throw fail(place(), `${decoded.length} bytes, but the keys before it have ${length}; HAProxy takes one length a file`)
      }
      length = decoded.length
      const key = { ...readKey(decoded, 0, layout, alloc), ...listTimes('haproxy', index, lines.length) }
      decoded.fill(0)
      return { key, place }
    })
  },

  serialize (keys) {
    const lines = keys.map(encodeLine)
    const data = Buffer.alloc(lines.reduce((sum, line) => sum + line.length + 1, 0), NEWLINE)
    let offset = 0
    for (const line of lines) {
      line.copy(data, offset)
      offset += line.length + 1
      line.fill(0)
    }
    return data
  }
}

/** Returns whether every line has the form of a key. */
export function isLikeHaproxy (data: Buffer): boolean {
  return splitLines(data).every((line) => {
    const bytes = decodeBase64(line)
    bytes?.fill(0)
    return LAYOUTS.some((layout) => keyLength(layout) === bytes?.length)
  })
}

function textLength (layout: Layout): number {
  return Math.ceil(keyLength(layout) / 3) * 4
}

function encodeLine (key: TicketKey): Buffer {
  const layout = key.aesKey.length === 16 ? AES_FIRST_48 : AES_FIRST_80
  const bytes = Buffer.alloc(keyLength(layout))
  writeKey(bytes, 0, layout, key)
  const line = encodeBase64(bytes)
  bytes.fill(0)
  return line
}

/** Returns the lines without their ends. Lines end with \n or \r\n. The last line may have no end. */
function splitLines (data: Buffer): Buffer[] {
  const lines: Buffer[] = []
  for (let start = 0; start < data.length;) {
    const newline = data.indexOf(NEWLINE, start)
    const end = newline === -1 ? data.length : newline
    lines.push(data.subarray(start, end > start && data[end - 1] === RETURN ? end - 1 : end))
    start = end + 1
  }
  return lines
}
