import { randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import t from 'tap'
import { LeakDetector } from './leaks.js'
import { whole } from './leak-checks.js'

const HALF = 32

t.test('the leak detector finds bytes in every encoding', async (t) => {
  const bytes = randomBytes(HALF)
  const secrets = new LeakDetector()
  secrets.add('key', bytes)
  const forms: Record<string, string> = {
    raw: `log: ${bytes.toString('latin1')}`,
    utf8: bytes.toString(),
    hex: bytes.toString('hex'),
    HEX: bytes.toString('hex').toUpperCase().replace(/../g, '$&:'),
    base64: bytes.toString('base64'),
    base64url: `key=${bytes.toString('base64url')}`,
    'base64 after one byte': Buffer.concat([Buffer.from('a'), bytes]).toString('base64'),
    'base64 after two bytes': Buffer.concat([Buffer.from('ab'), bytes]).toString('base64'),
    buffer: inspect(bytes),
    'a buffer, cut short': inspect(Buffer.concat([Buffer.alloc(40), bytes])),
    'typed array': inspect(new Uint8Array(bytes)),
    'buffer in JSON': JSON.stringify({ bytes }),
    'typed array in JSON': JSON.stringify([...bytes], null, 2),
    'in an object': whole({ deep: { deeper: { deepest: new Map([['key', bytes]]) } } }),
    ArrayBuffer: whole(new Uint8Array(bytes).buffer),
    'its beginning': bytes.toString('hex', 0, 9),
    'its end': bytes.toString('base64', HALF - 9)
  }
  for (const [form, text] of Object.entries(forms)) t.not(secrets.find(text).length, 0, form)
  t.strictSame(secrets.find(inspect(randomBytes(50)) + randomBytes(10_000).toString('base64')), [])
})
