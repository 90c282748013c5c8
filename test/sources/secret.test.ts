import { hkdfSync, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import t from 'tap'
import { currentKey, stateOf } from '../../lib/keys/timetable.js'
import { hkdf } from '../../lib/native/secret-memory.js'
import { deriveKey, SecretSource } from '../../lib/sources/secret.js'
import type { SourceKey } from '../../lib/keys/key.js'
import { PROTOCOLS, ReusingClient, SingleUseClient } from '../helpers/client.js'
import { issuerAt } from '../helpers/keys.js'
import { manage, serve } from '../helpers/managed.js'
import { closeAll, plainHttps } from '../helpers/server.js'

t.teardown(closeAll)

const HOUR = 3_600_000
const DOCS = new URL('../../docs/secret-source.md', import.meta.url)

/** The derivation as the docs describe it, with Node.js's own HKDF. */
function derive (secret: Buffer, interval: number, number: number): { name: string, aesKey: string, hmacKey: string } {
  const info = Buffer.alloc(16)
  info.writeBigUInt64BE(BigInt(interval), 0)
  info.writeBigUInt64BE(BigInt(number), 8)
  const bytes = Buffer.from(hkdfSync('sha256', secret, 'fastify-ticket-keys secret source 1', info, 80))
  return { name: bytes.toString('hex', 0, 16), aesKey: bytes.toString('hex', 16, 48), hmacKey: bytes.toString('hex', 48) }
}

function hex ({ name, aesKey, hmacKey }: SourceKey): { name: string, aesKey: string, hmacKey: string } {
  return { name: name.toString('hex'), aesKey: aesKey?.toString('hex') ?? '', hmacKey: hmacKey?.toString('hex') ?? '' }
}

/** Keys at a moment of a source for one secret, as the options make it. */
function keysAt (secret: string | Buffer, now: number, rotationInterval = HOUR, previous: Buffer[] = []): SourceKey[] {
  const source = new SecretSource([secret, ...previous], { rotationInterval, ticketLifetime: 2 * rotationInterval, tls12Tickets: false })
  return source.load(now).keys
}

t.test('the docs, the source and Node.js agree on the test vectors', (t) => {
  const blocks = [...readFileSync(DOCS, 'utf8').matchAll(/```json vectors\n(.*?)```/gs)].map(
    ([, text]) => JSON.parse(text ?? '') as unknown
  )
  t.equal(blocks.length, 1)
  const vectors = blocks[0] as Array<{ secret: string, interval: number, number: number, name: string, aesKey: string, hmacKey: string }>
  t.equal(vectors.length, 4)
  for (const { secret, interval, number, ...expected } of vectors) {
    const bytes = Buffer.from(secret, 'hex')
    t.strictSame(derive(bytes, interval, number), expected, 'node:crypto')
    t.strictSame(hex(deriveKey(bytes, interval, number) as SourceKey), expected, 'deriveKey')
    const moment = number * interval + interval / 2
    t.strictSame(hex(currentKey(keysAt(bytes, moment, interval), moment) as SourceKey), expected, "the source's current key")
  }
  t.end()
})

t.test('invalid HKDF input is an error, and gives no zero key', (t) => {
  const give = (bytes: number): void => { hkdf(randomBytes(32), Buffer.from('salt'), Buffer.from('info'), Buffer.alloc(bytes)) }
  // RFC 5869 section 2.3.
  t.doesNotThrow(() => give(255 * 32))
  t.throws(() => give(255 * 32 + 1), { message: 'OpenSSL refused HKDF-SHA256' })
  t.end()
})

t.test('the interval, its length and every bit of the secret change the key', (t) => {
  const secret = randomBytes(32)
  const other = Buffer.from(secret)
  other[31] = (other[31] ?? 0) ^ 1
  const keys = [
    [secret, HOUR, 7],
    [secret, HOUR, 8],
    [secret, HOUR / 2, 7],
    [secret, HOUR / 2, 14],
    [other, HOUR, 7],
    [Buffer.concat([secret, Buffer.alloc(1)]), HOUR, 7]
  ] as const
  const parts = keys.flatMap(([bytes, interval, number]) => Object.values(hex(deriveKey(bytes, interval, number) as SourceKey)))
  t.equal(new Set(parts).size, parts.length)
  t.end()
})

t.test('a line end after the secret is ignored; a string secret is its UTF-8', (t) => {
  const text = `${randomBytes(24).toString('base64')}é`
  const names = (secret: string | Buffer): string[] => keysAt(secret, 1e12).map(({ name }) => name.toString('hex'))
  for (const same of [`${text}\n`, `${text}\r\n`, Buffer.from(text), Buffer.from(`${text}\n`)]) t.same(names(same), names(text))
  for (const other of [`${text}\n\n`, `${text} `, `\n${text}`]) t.notSame(names(other), names(text))
  t.end()
})

t.test('trailing line ends of 32 random bytes are part of the secret; those of a text are not', async (t) => {
  for (const end of ['\n', '\r\n']) {
    const secret = Buffer.concat([randomBytes(31 - end.length), Buffer.from([0xff]), Buffer.from(end)])
    t.equal(keysAt(secret, 0)[0]?.name.toString('hex'), derive(secret, HOUR, 0).name)
    const { keys } = await manage(t, { source: { type: 'secret', secret } })
    t.equal(keys.status().source, 'secret')
    const text = `${'0123456789'.repeat(3)}x${end}`
    for (const short of [text, Buffer.from(text)]) {
      await t.rejects(manage(t, { source: { type: 'secret', secret: short } }), /at least 32 bytes/)
    }
  }
})

t.test('at any time, the source holds the keys of all valid tickets, the current key, and enough next keys', (t) => {
  const secret = randomBytes(32)
  for (const interval of [1000, 10_000, HOUR]) {
    const source = new SecretSource([secret], { rotationInterval: interval, ticketLifetime: 90_000, tls12Tickets: false })
    for (let i = 0; i < 30; i++) {
      const now = 1.7e12 + i * interval / 7
      const { keys, refreshAt = 0, timed } = source.load(now)
      const current = currentKey(keys, now)
      const states = keys.map((key) => stateOf(key, current, now))
      t.equal(timed && states.filter((state) => state === 'current').length, 1)
      t.equal(current?.name.toString('hex'), derive(secret, interval, Math.floor(now / interval)).name)
      t.ok(Math.max(...keys.map(({ notBefore }) => notBefore)) >= now + Math.max(2 * interval, 30_000 - interval))
      t.ok(keys.filter((_, index) => states[index] === 'next').length >= 3)
      // Of another host, one interval behind, that issues until its own end of the interval, tickets that live for 90 s.
      const oldest = derive(secret, interval, Math.floor((now - 2 * interval - 90_000) / interval) + 1).name
      t.ok(keys.some(({ name }) => name.toString('hex') === oldest))
      t.equal(refreshAt, (Math.floor(now / interval) + 1) * interval)
      t.ok(keys.length <= 256)
    }
  }
  t.end()
})

for (const offset of [0, 0.5, 0.99, 1]) {
  t.test(`two hosts with clocks ${offset} intervals apart lose no session in either direction`, async (t) => {
    const source = { type: 'secret', secret: randomBytes(32) } as const
    const ahead = await serve(t, { source })
    const behind = await serve(t, { source })
    behind.clock.step(-offset * HOUR)
    const pass = (ms: number): void => {
      for (const { clock, keys } of [ahead, behind]) {
        clock.step(ms)
        keys.tick()
      }
    }
    const single = new SingleUseClient({ port: 0, protocol: 'TLSv1.3' })
    for (let quarter = 0; quarter < 24; quarter++) {
      for (const { port } of quarter % 2 === 0 ? [ahead, behind] : [behind, ahead]) await single.connect({ port })
      pass(HOUR / 4)
    }
    t.match(single, { full: 1, resumed: 47, failed: 0 })
    // A TLS 1.2 session ends with the lifetime of its first ticket, by the clock that is ahead.
    const reusing = new ReusingClient({ port: 0, protocol: 'TLSv1.2' })
    for (const { port } of [behind, ahead, behind, ahead]) {
      await reusing.connect({ port })
      pass(HOUR / 4)
    }
    t.match(reusing, { full: 1, resumed: 3, failed: 0 })
    t.match([ahead, behind].map(({ keys }) => keys.stats().rotations), { length: 2 })
    for (const { keys } of [ahead, behind]) {
      t.same(Object.values(keys.stats().rejected).flatMap((byReason) => Object.entries(byReason)).filter(([, count]) => count > 0), [])
      t.ok(keys.stats().rotations >= 5)
    }
  })
}

t.test('changing the secret in two steps loses no session, in any order of hosts; changing it in one step does', async (t) => {
  const [old, next] = [randomBytes(32), randomBytes(32)]
  const option = (secret: Buffer, ...previousSecrets: Buffer[]) => ({ source: { type: 'secret', secret, previousSecrets } as const })
  const steps = [option(old), option(old, next), option(next, old), option(next)]
  const [start, prepared, changed, done] = await Promise.all(steps.map(async (options) => await serve(t, options)))
  if (start === undefined || prepared === undefined || changed === undefined || done === undefined) throw new Error('four hosts')
  const client = new SingleUseClient({ port: 0 })
  // While some hosts have taken a step and others have not.
  for (const [before, after] of [[start, prepared], [prepared, changed], [changed, done]] as const) {
    for (const { port } of [before, after, before, after]) await client.connect({ port })
  }
  t.match(client, { full: 1, resumed: 11, failed: 0 })
  t.equal(await issuerAt(start.port), await issuerAt(prepared.port))
  t.equal(await issuerAt(changed.port), await issuerAt(done.port))
  t.not(await issuerAt(start.port), await issuerAt(done.port))

  const hasty = new SingleUseClient({ port: 0 })
  for (const { port } of [changed, start]) await hasty.connect({ port })
  t.match(hasty, { full: 2, resumed: 0 }, 'a host that does not know the new secret')
  t.match(start.keys.stats(), { rejected: { 'TLSv1.3': { unknown_key: 1 } } })

  const { keys, clock, port } = changed
  const kept = new SingleUseClient({ port })
  await kept.connect({ port: start.port })
  clock.step(1.5 * HOUR)
  t.equal((await kept.connect()).reused, true, 'the old secret is still accepted')
  t.equal(keys.status().keys.filter(({ state }) => state === 'current').length, 1)
})

t.test('after any change of the clock, a key issues at once, or after one handshake if the clock passed all keys', async (t) => {
  const { clock, port, keys } = await serve(t, { source: { type: 'secret', secret: randomBytes(32) } })
  for (const hours of [-0.6, -2, -24 * 365, 24 * 366, 1]) {
    clock.step(hours * HOUR)
    t.equal(await issuerAt(port) === undefined, hours > 3, `${hours} h: the first ticket`)
    t.equal(keys.status().stale, false)
    t.equal(await issuerAt(port), currentAt(keys.status().keys), 'the second ticket, under the key of the interval')
  }
})

function currentAt (keys: Array<{ id: string, state: string }>): string | undefined {
  return keys.find(({ state }) => state === 'current')?.id
}

t.test('the warning about TLS 1.2 tickets is logged once, and not without such tickets', async (t) => {
  const source = { type: 'secret', secret: randomBytes(32) } as const
  const { keys, clock, log } = await manage(t, { source })
  for (let i = 0; i < 3; i++) {
    clock.step(HOUR)
    keys.status()
    await keys.reload()
  }
  t.match(log.of('warn'), { length: 1 })
  t.match(log.of('warn')[0], /past ones too.*TLS 1\.2/)
  t.same((await manage(t, { source, tls12Tickets: false })).log.of('warn'), [])
})

t.test("the caller's secret is unchanged; the copy is erased by close", (t) => {
  const secret = randomBytes(32)
  const before = Buffer.from(secret)
  const source = new SecretSource([secret, 'p'.repeat(16) + 'q'.repeat(16)], {
    rotationInterval: HOUR,
    ticketLifetime: HOUR,
    tls12Tickets: true
  })
  t.ok(source.load(1e12).keys.length > 0)
  source.close()
  t.ok(secret.equals(before))
  t.same(source.load(1e12).keys, [], 'no zero keys')
  t.end()
})

for (const protocol of PROTOCOLS) {
  t.test(`${protocol}: rotate() is an error with this source`, async (t) => {
    const { keys, port } = await serve(t, { source: { type: 'secret', secret: randomBytes(32) } }, plainHttps)
    const before = await issuerAt(port, protocol)
    await t.rejects(keys.rotate(), { code: 'FST_TICKET_KEYS_ROTATE', message: "the source 'secret' does not make its own keys" })
    t.equal(await issuerAt(port, protocol), before)
  })
}
