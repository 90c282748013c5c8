import { Buffer } from 'node:buffer'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { FormatError } from '../../lib/util/errors.js'
import { checkKeys } from '../../lib/keys/validate.js'
import {
  guessFormats, KEY_FORMATS,
  parseKeys,
  serializeKeys,
  type KeyFormat
} from '../../lib/keys/formats/index.js'
import { MAX_KEYS, type TicketKey } from '../../lib/keys/key.js'
import { anyFile, anyFormat, KEY_LENGTHS, makeKey, material, parseOrError, seededKeys } from '../helpers/seeded-keys.js'

const BINARY = ['nginx48', 'nginx80', 'node48', 'lighttpd'] as const

t.test("HAProxy's lines may end with CR LF, and the last line without a line end", async (t) => {
  const keys = seededKeys(3, 4, 32)
  const lines = serializeKeys(keys, 'haproxy').toString('latin1').trimEnd().split('\n')
  for (const text of [`${lines.join('\r\n')}\r\n`, lines.join('\r\n'), lines.join('\n'), `${lines.join('\n')}\r`]) {
    t.same(parseKeys(Buffer.from(text), 'haproxy', 'keys').keys.map(material), keys.map(material))
  }
  t.match(parseOrError(Buffer.from(lines.join('\n\r')), 'haproxy')?.message, /line 2: 109 characters/)
})

t.test('a truncated file is an error, unless the cut is between keys', async (t) => {
  fc.assert(fc.property(anyFile, fc.nat(), ({ format, keys, data }, random) => {
    const size = random % data.length
    const error = parseOrError(Buffer.from(data.subarray(0, size)), format)
    if (format === 'json') {
      t.equal(error === undefined, size === data.length - 1, 'only the last newline may be missing')
    } else if (error === undefined && !(format === 'haproxy' && size === 64)) {
      // Leaves out the first 64 characters of a HAProxy file, which are a whole 48-byte key.
      const { keys: fewer } = parseKeys(Buffer.from(data.subarray(0, size)), format, 'keys')
      t.same(fewer.map(material), keys.slice(0, fewer.length).map(material))
    }
  }), { numRuns: 300 })
})

t.test('a file with a flipped bit never parses to a different number of keys or key length', async (t) => {
  fc.assert(fc.property(anyFile, fc.nat(), fc.nat({ max: 7 }), ({ format, keys, data }, random, bit) => {
    const flipped = Buffer.from(data)
    const at = random % data.length
    flipped[at] = (flipped[at] as number) ^ 1 << bit
    if (parseOrError(flipped, format) === undefined) t.equal(parseKeys(flipped, format, 'keys').keys.length, keys.length)
  }), { numRuns: 500 })
})

t.test('the error about a malformed file names the file, the format and the position', async (t) => {
  const good = seededKeys(7, 3, 32)
  const text = serializeKeys(good, 'json').toString('latin1')
  const change = (from: string | RegExp, to: string) => Buffer.from(text.replace(from, to), 'latin1')
  const lines = serializeKeys(good, 'haproxy').toString('latin1').trimEnd().split('\n')
  const stek = (edit: (data: Buffer) => void) => {
    const data = serializeKeys(good, 'lighttpd')
    edit(data)
    return data
  }
  const many = serializeKeys(seededKeys(2, MAX_KEYS + 1, 32), 'json')
  const corpus: [KeyFormat, Buffer, RegExp][] = [
    ...KEY_FORMATS.map((format): [KeyFormat, Buffer, RegExp] => [format, Buffer.alloc(0), /byte 0: the file is empty/]),
    ['nginx48', randomBytes(47), /byte 0: the file ends after 47 of a key's 48 bytes/],
    ['nginx80', randomBytes(161), /byte 160: the file ends after 1 of/],
    ['lighttpd', randomBytes(93), /byte 92: the file ends after 1 of a key's 92/],
    ['lighttpd', stek((data) => data.writeInt32LE(1, 92)), /byte 92: version 0 expected/],
    ['lighttpd', stek((data) => data.writeInt32LE(-1, 4)), /byte 4: activation/],
    ['lighttpd', stek((data) => data.writeInt32LE(-1, 8)), /byte 8: expiry is not between/],
    ['lighttpd', stek((data) => data.writeInt32LE(5, 96).toString() + data.writeInt32LE(5, 100)), /byte 100: expiry is not after/],
    ['haproxy', Buffer.from(`${lines[0]}\n\n${lines[1]}`), /line 2: 0 characters/],
    ['haproxy', Buffer.from(`${lines[0]}\n ${lines[1]}`), /line 2: 109 characters/],
    ['haproxy', Buffer.from(`${lines[0]}\n${lines[1]?.replace(/^./, '*')}`), /line 2: not base64/],
    ['haproxy', Buffer.from(`${lines[0]}\n${'A'.repeat(108)}`), /line 2: not base64/],
    ['haproxy', Buffer.from(`${lines[0]}\n${randomBytes(48).toString('base64')}`), /line 2: 48 bytes, but/],
    ['haproxy', serializeKeys(seededKeys(2, MAX_KEYS + 1, 16), 'haproxy'), /line 257: more than 256/],
    ['json', many, /column 5: more than 256/],
    ['json', Buffer.from('null'), /line 1, column 1: { expected/],
    ['json', Buffer.from('{'), /column 2: a string expected/],
    ['json', Buffer.from('{}'), /line 1, column 1: version, keys missing/],
    ['json', Buffer.from('{"version":1'), /} expected, but the file ends here/],
    ['json', Buffer.from('{"version":1,"keys":{}}'), /\[ expected/],
    ['json', Buffer.from(`\ufeff${text}`), /{ expected/],
    ['json', change('"version": 1', '"version": 2'), /line 2, column 14: version 2 is not known/],
    ['json', change('"version": 1', '"version": "1"'), /a whole number expected/],
    ['json', change('"version": 1', '"version": -01'), /a whole number expected/],
    ['json', change('"version": 1', '"version": 1, "version": 1'), /version is given twice/],
    ['json', change('"version": 1', '"version": 1, "comment": "x"'), /unknown property; known are version, keys/],
    ['json', change('"aesKey"', '"hmacKey"'), /hmacKey is given twice/],
    ['json', change('"aesKey"', '"aes\\u004bey"'), /escape sequences/],
    ['json', change('"aesKey"', '"aesK\tey"'), /not printable ASCII/],
    ['json', change(/"aesKey".*\n/, ''), /line 4, column 5: aesKey missing/],
    ['json', change(/("aesKey": ").{4}/, '$1'), /line 6, column 17: aesKey must be 16 or 32 bytes/],
    ['json', change(/("aesKey": ")./, '$1*'), /aesKey must be/],
    ['json', change(/("aesKey": ").*"/, `$1${randomBytes(16).toString('base64')}"`), /different lengths/],
    ['json', change(/("aesKey": ").*"/, `$1${'A'.repeat(44)}"`), /aesKey must be/],
    ['json', change(/("name": ")../, '$1'), /line 5, column 15: name must be 32 hex digits/],
    ['json', change(/("name": ")../, '$1xy'), /name must be/],
    ['json', change('"notBefore": null', '"notBefore": 0'), /a string or null expected/],
    ['json', change('"notBefore": null', '"notBefore": "2030-02-31T00:00:00Z"'), /notBefore must be null or a time/],
    ['json', change('"notBefore": null', '"notBefore": "2030-13-01T00:00:00Z"'), /notBefore must be/],
    ['json', change('"notBefore": null', '"notBefore": "2030-01-31 12:00"'), /notBefore must be/],
    ['json', change('"notBefore": null', '"notBefore": "2031-01-31T00:00:00Z"'), /line 4, column 5: issueUntil is before notBefore/],
    ['json', change(/("acceptUntil": ").*"/, '$12029-01-31T00:00:00Z"'), /acceptUntil is before issueUntil/],
    ['json', Buffer.from(text + '{}'), /something follows/],
    ['json', Buffer.from(text.replace(/}\s*\]/, '},]')), /{ expected/],
    ['json', Buffer.from('{"version":1,"keys'), /a string without end/]
  ]
  for (const [format, data, message] of corpus) {
    const error = parseOrError(data, format)
    t.type(error, FormatError, `${format} ${String(message)}`)
    t.match(error?.message, message)
    t.match(error?.message, `keys.bin (${format}), `)
  }
  t.throws(() => parseKeys(Buffer.from('{"version":1,"keys":[]}'), 'json', 'k'), {
    code: 'FST_TICKET_KEYS_WEAK_KEY',
    message: /holds no key/
  })
})

t.test('no error contains bytes of a key', async (t) => {
  fc.assert(fc.property(anyFile, fc.nat(), anyFormat, ({ keys, data }, random, format) => {
    const broken = Buffer.from(data)
    broken[random % data.length] = 0x22
    const message = parseOrError(broken, format)?.message ?? ''
    for (const { aesKey, hmacKey } of keys) {
      for (const keyLength of [aesKey, hmacKey]) {
        for (const encoding of ['hex', 'base64', 'latin1'] as const) t.notOk(message.includes(keyLength.toString(encoding).slice(0, 8)))
      }
    }
  }), { numRuns: 100 })
})

t.test('without a format, JSON is recognized; other data is an error that names the possible formats', async (t) => {
  const json = serializeKeys([makeKey()], 'json')
  t.equal(parseKeys(Buffer.concat([Buffer.from(' \n'), json]), undefined, 'k').keys.length, 1)
  const says = (data: Buffer | string, message: RegExp) =>
    t.throws(() => parseKeys(Buffer.from(data as string), undefined, 'tickets.key'), { code: 'FST_TICKET_KEYS_FORMAT', message })
  says(randomBytes(48).fill(0xff, 0, 1), /tickets.key \(48 bytes\): .* could be nginx48 or node48$/)
  says(randomBytes(80).fill(0xff, 0, 1), /could be nginx80$/)
  says(randomBytes(92).fill(0xff, 0, 1), /could be lighttpd$/)
  says(randomBytes(240).fill('{', 0, 1).fill(0xff, 1, 2), /could be nginx48 or nginx80 or node48$/)
  says(serializeKeys([makeKey()], 'haproxy'), /could be haproxy$/)
  says(serializeKeys([makeKey(), makeKey()], 'haproxy').toString().replaceAll('\n', '\r\n'), /could be haproxy$/)
  const pem = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' })
  for (const file of [pem, `Bag Attributes\n${String(pem)}`, `friendlyName: é\n${String(pem)}`]) {
    says(file, /: a PEM file, such as a certificate or its private key, and not a file of session ticket keys$/)
  }
  const noFormat = /: text in no format of ticket keys: neither a JSON object, nor lines of 64 or 108 characters of base64 as in haproxy$/
  for (const file of [
    'hello', 'hello\n', ' ', '[]', '"text"', randomBytes(80).toString('hex'), 'a'.repeat(63) + '!', `${'a'.repeat(64)}\nhello\n`,
    `${randomBytes(48).toString('base64')}\n\n`, randomBytes(80).toString('base64').replace(/.{64}/, '$&\n')
  ]) says(file, noFormat)
  says(`\ufeff${serializeKeys([makeKey()], 'json').toString()}`, /not JSON: begins with a byte order mark; save it as UTF-8 without one$/)
  says(randomBytes(47).fill(0xff, 0, 1), /no size that another format has/)
  says('', /not JSON: the file is empty$/)
  t.same(guessFormats(0), [])
  t.same(guessFormats(48 * 257), [])
  for (const format of BINARY) {
    t.ok(guessFormats(serializeKeys(seededKeys(3, 5, KEY_LENGTHS[format][0] as number), format).length).includes(format))
  }
})

t.test('weak keys are refused with their position', async (t) => {
  const weak = (edit: Partial<TicketKey>, message: RegExp, keyLength: 16 | 32 = 32) => {
    const keys = [makeKey(keyLength), { ...makeKey(keyLength), ...edit }, makeKey(keyLength)]
    t.throws(() => checkKeys(keys, 'keys.json'), {
      code: 'FST_TICKET_KEYS_WEAK_KEY',
      message: new RegExp(`keys.json, key 2: .*${message.source}`)
    })
  }
  const text = Buffer.from('correct horse battery staple 123')
  weak({ name: Buffer.alloc(16) }, /name is all zero/)
  weak({ name: randomBytes(15) }, /name has 15 bytes/)
  weak({ aesKey: Buffer.alloc(32) }, /AES key is all zero/)
  weak({ hmacKey: Buffer.alloc(32, 7) }, /HMAC key is one byte repeated/)
  weak({ aesKey: text }, /AES key is printable text/)
  weak({ hmacKey: Buffer.concat([text.subarray(1), Buffer.from('\n')]) }, /HMAC key is printable text/)
  weak({ aesKey: text.subarray(0, 16), hmacKey: text.subarray(16) }, /AES and HMAC keys are printable/, 16)
  weak({ aesKey: randomBytes(16) }, /16 bytes and its HMAC key 32/)
  weak({ aesKey: randomBytes(8), hmacKey: randomBytes(8) }, /both must have 16, or both 32/)
  const same = randomBytes(32)
  weak({ aesKey: same, hmacKey: Buffer.from(same) }, /AES key and its HMAC key are equal/)

  const [a, b] = [makeKey(), makeKey()]
  t.throws(() => checkKeys([a, { ...b, name: a.name }], 'k'), /k, key 2: has the same name as the key at key 1/)
  t.throws(() => checkKeys([a, { ...b, aesKey: a.hmacKey }], 'k'), /k, key 2: shares key bytes with the key at key 1/)
  t.throws(() => checkKeys([], 'k'), /holds no key/)
  t.throws(() => checkKeys(seededKeys(1, 257, 32), 'k'), /holds 257 keys/)
  t.doesNotThrow(() => checkKeys(seededKeys(1, 256, 32), 'k'))
  t.doesNotThrow(() => checkKeys([{ ...makeKey(16), aesKey: text.subarray(0, 16) }], 'k'), 'sixteen letters can be random')

  t.throws(
    () => parseKeys(serializeKeys([a, { ...b, name: a.name }], 'nginx80'), 'nginx80', 'f'),
    /f \(nginx80\), byte 80: has the same name as the key at byte 0/
  )
  t.throws(() => parseKeys(serializeKeys([a, { ...b, name: a.name }], 'haproxy'), 'haproxy', 'f'), /line 2: has/)
  t.throws(
    () => parseKeys(serializeKeys([a, { ...b, name: a.name }], 'json'), 'json', 'f'),
    /line 12, column 5: has the same name as the key at line 4/
  )
  t.throws(() => parseKeys(serializeKeys([a, { ...b, name: a.name }], 'lighttpd'), 'lighttpd', 'f'), /byte 92: has/)
})
