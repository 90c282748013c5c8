import { Buffer } from 'node:buffer'
import { decodeBase64, encodeBase64 } from '../base64.js'
import { MAX_KEYS, NAME_LENGTH, type KeyMaterial, type KeyTimes, type TicketKey } from '../key.js'
import type { Alloc, Codec, PlacedKey } from './format.js'
import { JsonReader } from './json-reader.js'
import { timesProblem } from '../validate.js'

const VERSION = 1
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?Z$/
/** The range of times in a file. Other times are moved to the nearest limit, including an infinity that means never. */
const FIRST_TIME = 0
const LAST_TIME = Date.parse('9999-12-31T23:59:59.999Z')

/** This package's own format: every key with its times. */
export const json: Codec = {
  timed: true,

  parse (data, alloc, fail) {
    const reader = new JsonReader(data, fail)
    const keys: PlacedKey[] = []
    reader.object({
      version: () => {
        const at = reader.next
        const version = reader.integer()
        if (version !== VERSION) throw reader.error(`version ${version} is not known, only ${VERSION}`, at)
      },
      keys: () => reader.array(() => {
        const at = reader.next
        if (keys.length === MAX_KEYS) throw reader.error(`more than ${MAX_KEYS} keys`, at)
        keys.push({ key: readJsonKey(reader, alloc), place: () => reader.place(at) })
      })
    })
    reader.end()
    return keys
  },

  serialize (keys) {
    const parts: Buffer[] = [text(`{\n  "version": ${VERSION},\n  "keys": [`)]
    keys.forEach((key, index) => parts.push(
      text(`${index === 0 ? '' : ','}\n    {\n      "name": "${key.name.toString('hex')}",\n      "aesKey": "`),
      encodeBase64(key.aesKey),
      text('",\n      "hmacKey": "'),
      encodeBase64(key.hmacKey),
      text(`",\n      "notBefore": ${formatTime(key.notBefore, -Infinity)},\n`),
      text(`      "issueUntil": ${formatTime(key.issueUntil, Infinity)},\n`),
      text(`      "acceptUntil": ${formatTime(key.acceptUntil, Infinity)}\n    }`)
    ))
    parts.push(text('\n  ]\n}\n'))
    return joinAndErase(parts)
  }
}

function readJsonKey (reader: JsonReader, alloc: Alloc): TicketKey {
  const at = reader.next
  let name: Buffer = Buffer.alloc(0)
  const halves: KeyMaterial = { aesKey: Buffer.alloc(0), hmacKey: Buffer.alloc(0) }
  const times: KeyTimes = { notBefore: -Infinity, issueUntil: Infinity, acceptUntil: Infinity }
  const half = (property: keyof KeyMaterial) => () => { halves[property] = readHalf(reader, property, alloc) }
  const time = (property: keyof KeyTimes) => () => { times[property] = readTime(reader, property) ?? times[property] }

  reader.object({
    name: () => { name = readName(reader) },
    aesKey: half('aesKey'),
    hmacKey: half('hmacKey'),
    notBefore: time('notBefore'),
    issueUntil: time('issueUntil'),
    acceptUntil: time('acceptUntil')
  })
  if (halves.aesKey.length !== halves.hmacKey.length) throw reader.error('aesKey and hmacKey have different lengths', at)
  const problem = timesProblem(times)
  if (problem !== undefined) throw reader.error(problem, at)
  return { name, ...halves, ...times }
}

function readName (reader: JsonReader): Buffer {
  const at = reader.next
  const raw = reader.string()
  const name = Buffer.from(raw.toString('latin1', 0, NAME_LENGTH * 2), 'hex')
  if (raw.length !== NAME_LENGTH * 2 || name.length !== NAME_LENGTH) {
    throw reader.error(`name must be ${NAME_LENGTH * 2} hex digits`, at)
  }
  return name
}

function readHalf (reader: JsonReader, property: string, alloc: Alloc): Buffer {
  const at = reader.next
  const raw = reader.string()
  // 24 and 44 characters are 16 and 32 bytes. The check of the length limits how much is decoded.
  const bytes = raw.length === 24 || raw.length === 44 ? decodeBase64(raw, alloc) : undefined
  if (bytes?.length !== 16 && bytes?.length !== 32) throw reader.error(`${property} must be 16 or 32 bytes in base64`, at)
  return bytes
}

function readTime (reader: JsonReader, property: string): number | undefined {
  const at = reader.next
  const raw = reader.stringOrNull()
  if (raw === undefined) return undefined
  const written = raw.toString('latin1', 0, 25)
  const time = TIME.test(written) ? Date.parse(written) : NaN
  // Date.parse turns the 31st of February into the 2nd of March.
  if (Number.isNaN(time) || new Date(time).toISOString().slice(0, 19) !== written.slice(0, 19)) {
    throw reader.error(`${property} must be null or a time in UTC such as 2030-01-31T12:00:00.000Z`, at)
  }
  return time
}

/**
 * @param always the infinity that is written as null; the opposite infinity means never and is written as a far date
 */
function formatTime (time: number, always: number): string {
  if (time === always) return 'null'
  return `"${new Date(Math.min(Math.max(time, FIRST_TIME), LAST_TIME)).toISOString()}"`
}

function text (value: string): Buffer {
  return Buffer.from(value, 'latin1')
}

/** Like `Buffer.concat`, but erases the parts, because some of them are key material. */
function joinAndErase (parts: Buffer[]): Buffer {
  const joined = Buffer.alloc(parts.reduce((sum, part) => sum + part.length, 0))
  let offset = 0
  for (const part of parts) {
    offset += part.copy(joined, offset)
    part.fill(0)
  }
  return joined
}
