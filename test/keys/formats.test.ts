import { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import t from 'tap'
import {
  isTimed,
  issuingIndex,
  joinKeySets,
  KEY_FORMATS,
  parseKeys,
  serializeKeys,
  type KeyFormat
} from '../../lib/keys/formats/index.js'
import { ACCEPTS, ISSUES, WILL_ISSUE, type KeyTimes, type TicketKey } from '../../lib/keys/key.js'
import { anyFile, anyFormat, KEY_LENGTHS, makeKey, material, parseOrError, seededKeys, times } from '../helpers/seeded-keys.js'

t.test('every format parses what it wrote', async (t) => {
  fc.assert(fc.property(anyFile, ({ format, keys, data }) => {
    const set = parseKeys(data, format, 'keys.bin')
    t.same(set.keys.map(material), keys.map(material))
    t.equal(set.timed, isTimed(format))
    if (set.timed) t.same(set.keys.map(times), keys.map(times))
    t.ok(serializeKeys(set.keys, format).equals(data))
  }), { numRuns: 150 })
})

t.test('in a list without times, the order implies the times', async (t) => {
  const list = (format: KeyFormat, count: number) =>
    parseKeys(serializeKeys(seededKeys(1, count, KEY_LENGTHS[format][0] as number), format), format, 'keys').keys.map(times)
  for (const format of ['nginx48', 'nginx80', 'node48'] as const) {
    t.same(list(format, 3), [ISSUES, ACCEPTS, ACCEPTS], format)
    t.equal(issuingIndex(format, 3), 0)
  }
  t.same(list('haproxy', 4), [ACCEPTS, ACCEPTS, ISSUES, WILL_ISSUE], 'the last key but one issues')
  t.same(list('haproxy', 2), [ISSUES, WILL_ISSUE])
  t.same(list('haproxy', 1), [ISSUES])
})

t.test('the same list written as JSON has the same times', async (t) => {
  const { keys } = parseKeys(serializeKeys(seededKeys(1, 3, 32), 'haproxy'), 'haproxy', 'keys')
  const [old, issuing, next] = parseKeys(serializeKeys(keys, 'json'), 'json', 'keys').keys
  t.match(old, { notBefore: -Infinity, issueUntil: 0, acceptUntil: Infinity })
  t.match(issuing, { ...ISSUES })
  t.match(next, { notBefore: Date.parse('9999-12-31T23:59:59.999Z'), issueUntil: Infinity, acceptUntil: Infinity })
})

t.test('lighttpd keeps the beginning and the end of a key', async (t) => {
  const one = (given: KeyTimes) => parseKeys(serializeKeys([makeKey(32, given)], 'lighttpd'), 'lighttpd', 'stek').keys.map(times)[0]
  t.same(
    one({ notBefore: 1500, issueUntil: 2500, acceptUntil: 7999 }),
    { notBefore: 2000, issueUntil: 7000, acceptUntil: 7000 },
    'whole seconds, never longer'
  )
  t.same(one(ISSUES), { notBefore: 1000, issueUntil: Infinity, acceptUntil: Infinity }, 'newer than a key without a beginning')
  t.same(one(ACCEPTS), { notBefore: -Infinity, issueUntil: Infinity, acceptUntil: Infinity })
  t.same(one(WILL_ISSUE), { notBefore: Infinity, issueUntil: Infinity, acceptUntil: Infinity })
  t.same(
    one({ notBefore: -Infinity, issueUntil: Infinity, acceptUntil: Date.parse('2100-01-01T00:00:00Z') })?.acceptUntil,
    Infinity,
    'after 2038'
  )
})

t.test('random bytes give an error or a valid set', async (t) => {
  const bytes = fc.uint8Array({ maxLength: 500 }).map((array) => Buffer.from(array))
  const sized = fc
    .constantFrom(48, 80, 92, 96, 160, 184, 240)
    .chain((size) => fc.uint8Array({ minLength: size, maxLength: size }))
    .map((array) => Buffer.from(array))
  const jsonLike = fc.json().map((text) => Buffer.from(text))
  const linesLike = fc.array(fc.base64String({ maxLength: 120 })).map((lines) => Buffer.from(lines.join('\n')))
  fc.assert(fc.property(fc.oneof(bytes, sized, jsonLike, linesLike), fc.option(anyFormat, { nil: undefined }), (data, format) => {
    parseOrError(data, format)
  }), { numRuns: 3000 })
  t.pass('no other error')
})

t.test('key bytes are parsed into the given memory, and erased after an error', async (t) => {
  const keys = seededKeys(5, 3, 32)
  for (const format of KEY_FORMATS.filter((format) => KEY_LENGTHS[format].includes(32))) {
    const memory: Buffer[] = []
    const alloc = (bytes: number) => {
      const buffer = Buffer.alloc(bytes)
      memory.push(buffer)
      return buffer
    }
    const set = parseKeys(serializeKeys(keys, format), format, 'k', alloc)
    for (const key of set.keys) t.ok(memory.includes(key.aesKey) && memory.includes(key.hmacKey), format)
    memory.length = 0
    t.throws(() => parseKeys(serializeKeys([...keys, keys[0] as TicketKey], format), format, 'k', alloc), {
      code: 'FST_TICKET_KEYS_WEAK_KEY'
    })
    t.ok(memory.length > 0 && memory.every((buffer) => buffer.every((byte) => byte === 0)), format)
  }
})

t.test('keys that a format cannot hold are not written', async (t) => {
  t.throws(() => serializeKeys([makeKey(32)], 'nginx48'), {
    code: 'FST_TICKET_KEYS_FORMAT',
    message: /nginx48, key 1: .* 16 bytes each, not 32 and 32/
  })
  t.throws(() => serializeKeys([makeKey(16)], 'lighttpd'), /must have 32 bytes/)
  t.throws(() => serializeKeys([makeKey(16), makeKey(32)], 'haproxy'), /key 2: .* must have 16 bytes/)
  t.throws(() => serializeKeys([{ ...makeKey(16), aesKey: randomBytes(8) }], 'json'), /must have 16 or 32 bytes/)
  t.equal(parseKeys(serializeKeys([makeKey(16), makeKey(32)], 'json'), 'json', 'k').keys.length, 2, 'JSON may mix key lengths')
})

t.test('the files of a directory make one list', async (t) => {
  const sets = (format: KeyFormat) => [1, 2, 3].map((seed) => parseKeys(serializeKeys(seededKeys(seed, 1, 32), format), format, 'k'))
  t.same(joinKeySets(sets('nginx80'), 'nginx80', 'dir').keys.map(times), [ISSUES, ACCEPTS, ACCEPTS])
  t.same(joinKeySets(sets('haproxy'), 'haproxy', 'dir').keys.map(times), [ACCEPTS, ISSUES, WILL_ISSUE])
  const timed = joinKeySets(sets('json'), 'json', 'dir')
  t.equal(timed.timed, true)
  t.same(timed.keys.map(times), seededKeys(1, 1, 32).concat(seededKeys(2, 1, 32), seededKeys(3, 1, 32)).map(times))
  const [one] = sets('nginx80')
  if (one === undefined) throw new Error('no set')
  t.throws(() => joinKeySets([one, one], 'nginx80', 'dir'), /dir \(nginx80\), key 2: has the same name/)
})

t.test('docs/key-formats.md matches the code', async (t) => {
  const docs = readFileSync(new URL('../../docs/key-formats.md', import.meta.url), 'utf8')
  const rows = [...docs.matchAll(/^\| `(\w+)` \|([^|\n]*)\|([^|\n]*)\|([^|\n]*)\|([^|\n]*)\|/gm)].map((match) =>
    match.slice(1).map((cell) => cell.trim())
  )
  t.same(rows.map(([format]) => format), KEY_FORMATS, 'every format, in order')
  for (const [format, layouts = '', size = '', issuing = '', timed = ''] of rows as [KeyFormat, ...string[]][]) {
    t.equal(timed !== 'none', isTimed(format), `${format}: times`)
    if (!isTimed(format)) {
      t.equal(
        issuing,
        { 0: 'the first', 1: 'the last but one' }[issuingIndex(format, 3)],
        `${format}: which key issues`
      )
    }
    if (format === 'json') continue
    for (const [index, layout] of layouts.replace('a line of base64: ', '').split(' or ').entries()) {
      const parts = layout.split(', ').map((part) => part.split(' ') as [string, string])
      const [key] = seededKeys(9, 1, Number(parts.at(-1)?.[1])) as [TicketKey]
      const value: Record<string, Buffer> = {
        name: key.name,
        AES: key.aesKey,
        HMAC: key.hmacKey,
        version: Buffer.alloc(4),
        activation: Buffer.alloc(4),
        expiry: Buffer.from('ffffff7f', 'hex')
      }
      const bytes = Buffer.concat(parts.map(([name]) => value[name] ?? Buffer.alloc(0)))
      t.same(parts.map(([name]) => value[name]?.length), parts.map(([, length]) => Number(length)), `${format}: lengths`)
      t.equal(`${bytes.length}`, size.split(' or ')[index], `${format}: bytes of a key`)
      const file = format === 'haproxy' ? Buffer.from(bytes.toString('base64')) : bytes
      t.same(parseKeys(file, format, 'docs').keys.map(material), [material(key)], `${format}: layout`)
    }
  }
  const example = /```json\n([^]*?)```/.exec(docs)?.[1] ?? ''
  const { keys } = parseKeys(Buffer.from(example), undefined, 'docs')
  t.equal(serializeKeys(keys, 'json').toString(), example, 'the example equals the output of serializeKeys')
})
