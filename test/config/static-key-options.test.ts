import { inspect } from 'node:util'
import { randomBytes } from 'node:crypto'
import t from 'tap'
import { randomKey } from '../helpers/keys.js'
import { DURATION, errorOf, faultsOf, MARK, refused } from '../helpers/option-errors.js'

t.test('the error names every wrong static key, and shows none', async (t) => {
  for (const keys of [undefined, null, [], {}, randomBytes(80), Array.from({ length: 257 }, () => randomBytes(80))]) {
    t.same(faultsOf(errorOf({ source: { type: 'static', keys } })), ['source.keys must be an array of 1 to 256 keys'])
  }
  const good = randomBytes(80)
  const { name, aesKey, hmacKey } = randomKey()
  const now = Date.now()
  const wrong: Array<[unknown, string]> = [
    [randomBytes(79), 'must have 80 bytes'],
    [randomBytes(0), 'must have 80 bytes'],
    [randomBytes(160), 'must have 80 bytes'],
    [good.toString('base64'), 'must be a Buffer'],
    [new Uint8Array(80), 'must have a name'],
    [null, 'must be a Buffer'],
    [{ aesKey, hmacKey }, 'must have a name of 16 bytes'],
    [{ name: randomBytes(15), aesKey, hmacKey }, 'must have a name of 16 bytes'],
    [{ name, aesKey }, 'must have an aesKey and an hmacKey'],
    [{ name, aesKey, hmacKey: randomBytes(16) }, 'must have an aesKey and an hmacKey'],
    [{ name, aesKey: randomBytes(24), hmacKey: randomBytes(24) }, 'must have an aesKey and an hmacKey'],
    [{ name, aesKey, hmacKey, notBefore: 'now' }, 'must have times'],
    [{ name, aesKey, hmacKey, acceptUntil: NaN }, 'must have times'],
    [
      { name, aesKey, hmacKey, notBefore: now, issueUntil: now - 1 },
      'must have notBefore, issueUntil, acceptUntil in that order'
    ]
  ]
  const error = await refused(t, { source: { type: 'static', keys: [good, ...wrong.map(([key]) => key)] } })
  t.equal(error.code, 'FST_TICKET_KEYS_OPTIONS')
  t.match(faultsOf(error), wrong.map(([, problem], index) => `source.keys[${index + 1}] ${problem}`))
  t.equal(faultsOf(error).length, wrong.length)
})

t.test('the error names every static key that is not random, or that occurs twice', async (t) => {
  const [one, two] = [randomBytes(80), randomBytes(80)]
  const half = randomBytes(32)
  const keys = [
    one,
    Buffer.alloc(80),
    Buffer.concat([randomBytes(16), Buffer.alloc(32, 7), randomBytes(32)]),
    Buffer.from(`${MARK}${MARK}`.repeat(4)).subarray(0, 80),
    Buffer.from(one),
    Buffer.concat([one.subarray(0, 16), randomBytes(64)]),
    two,
    Buffer.concat([randomBytes(16), two.subarray(16, 48), randomBytes(32)]),
    Buffer.concat([randomBytes(16), half, half]),
    randomBytes(48)
  ]
  const faults = [
    'source.keys[1]: its name is all zero, as in a slot that was never filled',
    'source.keys[2]: its HMAC key is one byte repeated',
    'source.keys[3]: its AES key is printable text, not random bytes',
    'source.keys[4]: has the same name as the key at source.keys[0]',
    'source.keys[5]: has the same name as the key at source.keys[4]',
    'source.keys[7]: shares key bytes with the key at source.keys[6]',
    'source.keys[8]: its AES key and its HMAC key are equal'
  ]
  const weak = await refused(t, { source: { type: 'static', keys } })
  t.equal(weak.code, 'FST_TICKET_KEYS_WEAK_KEY')
  t.same(faultsOf(weak).sort(), faults)
  const both = await refused(t, { source: { type: 'static', keys: [...keys, randomBytes(47)] }, rotationInterval: MARK })
  t.equal(both.code, 'FST_TICKET_KEYS_OPTIONS')
  t.same(
    faultsOf(both).sort(),
    [
      `rotationInterval ${DURATION}`,
      ...faults,
      'source.keys[10] must have 80 bytes (nginx80 layout) or 48 (Node.js layout)'
    ].sort()
  )
  for (const error of [weak, both]) {
    const shown = inspect(error, { depth: null, showHidden: true })
    for (const key of keys) {
      for (const encoding of ['hex', 'base64', 'latin1'] as const) t.notOk(shown.includes(key.toString(encoding).slice(8, 40)))
    }
  }
})
