import { Buffer } from 'node:buffer'
import fc from 'fast-check'
import t from 'tap'
import { decodeBase64, encodeBase64 } from '../../lib/keys/base64.js'

t.test('base64 agrees with Node.js, and accepts only the canonical form', async (t) => {
  fc.assert(fc.property(fc.uint8Array({ minLength: 1, maxLength: 100 }), (bytes) => {
    const encoded = Buffer.from(bytes).toString('base64')
    t.equal(encodeBase64(bytes).toString('latin1'), encoded)
    t.ok(decodeBase64(Buffer.from(encoded))?.equals(bytes))
  }))
  fc.assert(fc.property(fc.uint8Array({ maxLength: 12 }), (text) => {
    const decoded = decodeBase64(text)
    if (decoded !== undefined) t.equal(decoded.toString('base64'), Buffer.from(text).toString('latin1'))
  }))
  for (const text of ['', 'A', 'AA', 'AAA', 'A===', '====', 'AB==', 'AAB=', 'A=AA', 'AA-_', 'AA A', 'AAAA\n', 'AA==AAAA']) {
    t.equal(decodeBase64(Buffer.from(text)), undefined, JSON.stringify(text))
  }
  t.equal(encodeBase64(Buffer.alloc(0)).length, 0)
})
