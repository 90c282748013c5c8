import { randomBytes, randomInt } from 'node:crypto'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { REASONS } from '../../lib/native/types.js'
import type { RejectReason } from '../../lib/native/types.js'
import type { StaticKeyParts } from '../../lib/sources/static.js'
import {
  applicationData, connect, PROTOCOLS, sessionSecret, sessionTicket, withApplicationData
} from '../helpers/client.js'
import type { Protocol } from '../helpers/client.js'
import { sendHello } from '../helpers/hello.js'
import type { Hello, Reply } from '../helpers/hello.js'
import { serve } from '../helpers/managed.js'
import { EXTENDED_MASTER_SECRET_ALERT } from '../helpers/openssl.js'
import { openTicket, sealTicket } from '../helpers/open-ticket.js'
import { closeAll, plainHttps } from '../helpers/server.js'

t.teardown(closeAll)

const HOUR = 3_600_000
const NAME = 'a.test'
/** Hellos over TLS 1.2 have one ticket each, those over TLS 1.3 many. */
const HELLOS: Record<Protocol, number> = { 'TLSv1.2': 6000, 'TLSv1.3': 1080 }
const SLICES = 6
const AT_ONCE = 24
const MAX_TICKETS = 4
const DECODE_ERROR = 50

/** What the hellos of helpers/hello.ts offer. */
const CIPHERS: Record<Protocol, string> = { 'TLSv1.2': 'ECDHE-ECDSA-AES128-GCM-SHA256', 'TLSv1.3': 'TLS_AES_128_GCM_SHA256' }

const key = randomBytes(80)
const expiredKey = randomBytes(80)

/** A key that issues and accepts until then. */
const until = (key: Buffer, acceptUntil: number): StaticKeyParts => ({
  name: key.subarray(0, 16),
  hmacKey: key.subarray(16, 48),
  aesKey: key.subarray(48),
  notBefore: 0,
  issueUntil: acceptUntil,
  acceptUntil
})

/** What is sent, and what has to come of it. */
interface Attack {
  hello: Omit<Hello, 'protocol'>
  reasons: RejectReason[]
  reply: Reply
}

/** A ticket that is wrong, and why. */
type Bad = [ticket: Buffer, reason: RejectReason]

/** Tickets of one protocol version to begin with. */
interface Material {
  good: Buffer
  secret: Buffer
  /** of the other protocol version, of another name, of another key, of a key that has expired, with another cipher */
  otherVersion: Buffer
  otherName: Buffer
  otherKey: Buffer
  expired: Buffer
  otherCipher: Buffer
}

const oneOf = <Value>(...values: Value[]): Value => values[randomInt(values.length)] as Value

/** Application data that this package did not write: an unknown version, or not as long as it says. */
function misread (data: Buffer): Buffer {
  const copy = Buffer.from(data)
  const length = data.length - NAME.length - 1
  switch (randomInt(6)) {
    case 0: copy[0] = oneOf(0, 2, 3, 255); return copy
    case 1: copy[1] = oneOf(2, 4, 128, 255); return copy
    case 2: copy[length] = oneOf(0, NAME.length - 1, NAME.length + 1, 255); return copy
    case 3: return data.subarray(0, randomInt(data.length))
    case 4: return Buffer.concat([data, randomBytes(randomInt(1, 400))])
    default: return Buffer.concat([Buffer.from([2]), randomBytes(randomInt(300))])
  }
}

const BAD: Array<(material: Material) => Bad> = [
  ({ good }) => {
    const length = randomInt(1, good.length)
    return [good.subarray(0, length), length < 16 ? 'unknown_key' : 'bad_ticket']
  },
  ({ good }) => [Buffer.concat([good, randomBytes(randomInt(1, 200))]), 'bad_ticket'],
  ({ good }) => {
    const flipped = Buffer.from(good)
    const at = randomInt(good.length)
    flipped[at] = good.readUInt8(at) ^ 1 << randomInt(8)
    return [flipped, at < 16 ? 'unknown_key' : 'bad_ticket']
  },
  () => [randomBytes(randomInt(1, 400)), 'unknown_key'],
  () => [Buffer.concat([key.subarray(0, 16), randomBytes(randomInt(400))]), 'bad_ticket'],
  ({ good }) => {
    const session = openTicket(key, good)
    return [sealTicket(key, withApplicationData(session, misread(applicationData(session)))), 'bad_ticket']
  },
  () => [sealTicket(key, randomBytes(randomInt(300))), 'bad_ticket'],
  ({ good }) => [sealTicket(key, openTicket(key, good).subarray(0, -randomInt(1, 60))), 'bad_ticket'],
  ({ otherVersion }) => [otherVersion, 'mismatch'],
  ({ otherCipher }) => [otherCipher, 'mismatch'],
  ({ otherName }) => [otherName, 'server_name'],
  ({ otherKey }) => [otherKey, 'unknown_key'],
  ({ expired }) => [expired, 'expired_key']
]

/** Content of a server_name extension that is none. */
function malformedNames (): Buffer {
  const name = Buffer.from(NAME)
  return oneOf(
    Buffer.alloc(0), Buffer.from([0]), Buffer.from([0, 0]), Buffer.from([0, 3, 0, 0, 9]), Buffer.from([0, 1, 0]),
    Buffer.concat([Buffer.from([0, 9, 0, 0, 200]), name]), Buffer.concat([Buffer.from([0, 9, 0, 0, 5]), name]),
    Buffer.concat([Buffer.from([0xff, 0xff, 0, 0, 6]), name]), randomBytes(randomInt(1, 40)).fill(0xff, 0, 1)
  )
}

/** Names that are not the ticket's, in a form that may be. */
function garbageName (): string {
  return oneOf(
    'b.test',
    'a.testt',
    '.a.test',
    'a.test..',
    '*.test',
    'a',
    `${'a'.repeat(63)}.test`,
    'xn--a.test',
    `\u00e4${NAME}`,
    'a%2etest'
  )
}

function attack (protocol: Protocol, material: Material): Attack {
  const { good, secret } = material
  const tls13 = protocol === 'TLSv1.3'
  const offer = (ticket: Buffer): Partial<Hello> => tls13 ? { identities: [{ ticket }] } : { ticket }
  switch (randomInt(tls13 ? 10 : 20)) {
    case 0: return { hello: { ...offer(good), serverName: malformedNames() }, reasons: ['server_name'], reply: { alert: DECODE_ERROR } }
    case 1: return { hello: { ...offer(good), serverName: garbageName() }, reasons: ['server_name'], reply: {} }
    case 2: return { hello: offer(good), reasons: ['server_name'], reply: {} }
    case 3: {
      const name = oneOf(key.subarray(0, 16), randomBytes(16))
      const ticket = Buffer.concat([name, randomBytes(randomInt(20_000, 65_000))])
      return {
        hello: { ...offer(ticket), serverName: NAME },
        reasons: [name.equals(key.subarray(0, 16)) ? 'bad_ticket' : 'unknown_key'],
        reply: {}
      }
    }
    case 4: return tls13
      ? { hello: { ...offer(Buffer.alloc(0)), serverName: NAME }, reasons: [], reply: { alert: DECODE_ERROR } }
      : { hello: { ...offer(Buffer.alloc(0)), serverName: NAME }, reasons: [], reply: {} }
    case 5: if (!tls13) {
      return {
        hello: { ...offer(good), serverName: NAME, extendedMasterSecret: false },
        reasons: ['mismatch'],
        reply: { alert: EXTENDED_MASTER_SECRET_ALERT.code }
      }
    }
  }
  if (!tls13) {
    const [ticket, reason] = oneOf(...BAD)(material)
    return { hello: { ticket, serverName: NAME }, reasons: [reason], reply: {} }
  }
  const bad = Array.from({ length: randomInt(1, 60) }, () => oneOf(...BAD)(material))
  const identities: Array<{ ticket: Buffer, secret?: Buffer }> = bad.map(([ticket]) => ({ ticket }))
  // Only the first four tickets of a ClientHello are looked at.
  const reasons = bad.slice(0, MAX_TICKETS).map(([, reason]) => reason)
  if (randomInt(2) === 0) return { hello: { identities, serverName: NAME }, reasons, reply: {} }
  // A good one among them is taken, and those after it are not looked at.
  const identity = randomInt(bad.length + 1)
  identities.splice(identity, 0, { ticket: good, secret })
  const hello = { identities, serverName: NAME }
  return identity < MAX_TICKETS
    ? { hello, reasons: reasons.slice(0, identity), reply: { identity } }
    : { hello, reasons, reply: {} }
}

function collectGarbage (): void {
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc') as () => void
  for (let i = 0; i < 3; i++) gc()
}

/** What the process holds, without what V8 has in reserve for new objects. */
function megabytes (): number {
  collectGarbage()
  const { rss, heapTotal, heapUsed } = process.memoryUsage()
  return Math.round((rss - heapTotal + heapUsed) / 2 ** 20)
}

t.test('tens of thousands of malformed tickets break no handshake, and leak no memory', async (t) => {
  const now = Date.now()
  const start = async (...keys: Array<Buffer | StaticKeyParts>): ReturnType<typeof serve> =>
    await serve(t, { source: keys.length === 0 ? { type: 'memory' } : { type: 'static', keys } }, async () => await plainHttps())
  const { keys, port, handshakes } = await start(until(key, Infinity), until(expiredKey, now - 1000))
  const [sameKey, otherKey, beforeItExpired] = await Promise.all([start(key), start(), start(until(expiredKey, now + HOUR))])

  const sessionFrom = async (
    from: { port: number },
    protocol: Protocol,
    servername = NAME,
    ciphers = CIPHERS[protocol]
  ): Promise<Buffer> => {
    const { session } = await connect({ port: from.port, protocol, servername, ciphers })
    return session as Buffer
  }
  const material: Record<Protocol, Material> = {} as never
  for (const [protocol, other] of [['TLSv1.2', 'TLSv1.3'], ['TLSv1.3', 'TLSv1.2']] as const) {
    const good = await sessionFrom(sameKey, protocol)
    const ticket = async (...args: Parameters<typeof sessionFrom>): Promise<Buffer> => sessionTicket(await sessionFrom(...args))
    material[protocol] = {
      good: sessionTicket(good),
      secret: sessionSecret(good),
      otherVersion: await ticket(sameKey, other),
      otherName: await ticket(sameKey, protocol, 'b.test'),
      otherKey: await ticket(otherKey, protocol),
      expired: await ticket(beforeItExpired, protocol),
      otherCipher: await ticket(
        sameKey,
        protocol,
        NAME,
        protocol === 'TLSv1.3' ? 'TLS_AES_256_GCM_SHA384' : 'ECDHE-ECDSA-AES256-GCM-SHA384'
      )
    }
  }
  t.equal(material['TLSv1.3'].secret.length, 32)

  const expected: Record<Protocol, Record<string, number>> = { 'TLSv1.2': {}, 'TLSv1.3': {} }
  const wrong: object[] = []
  let tickets = 0
  const run = async (protocol: Protocol, hellos: number): Promise<void> => {
    let left = hellos
    await Promise.all(Array.from({ length: AT_ONCE }, async () => {
      while (left-- > 0) {
        const { hello, reasons, reply } = attack(protocol, material[protocol])
        const answer = await sendHello(port, { protocol, ...hello })
        if (JSON.stringify(answer) !== JSON.stringify(reply)) wrong.push({ protocol, answer, reply, reasons })
        tickets += hello.identities?.length ?? 1
        for (const reason of reasons) expected[protocol][reason] = (expected[protocol][reason] ?? 0) + 1
      }
    }))
  }
  const begun = performance.now()
  const memory: number[] = []
  for (let slice = 0; slice < SLICES; slice++) {
    for (const protocol of PROTOCOLS) await run(protocol, HELLOS[protocol] / SLICES)
    memory.push(megabytes())
  }
  t.comment(`${tickets} tickets in ${((performance.now() - begun) / 1000).toFixed(1)} s; memory, MB: ${memory.join(' ')}`)
  t.comment(JSON.stringify(expected))

  t.ok(tickets >= 20_000, `${tickets} tickets`)
  t.strictSame(wrong.slice(0, 5), [], 'every ClientHello got the expected answer')
  const { rejected, resumed, renewed, handshakes: finished } = keys.stats()
  for (const protocol of PROTOCOLS) {
    t.strictSame(
      rejected[protocol],
      Object.fromEntries(REASONS.map((reason) => [reason, expected[protocol][reason] ?? 0])),
      `${protocol}: each is counted once`
    )
    t.ok(Object.keys(expected[protocol]).length >= 5, 'for many reasons')
  }
  const none = { 'TLSv1.2': 0, 'TLSv1.3': 0 }
  t.strictSame([resumed, renewed, handshakes], [none, none, []], 'no client finished a handshake')
  t.strictSame(finished['TLSv1.3'], { full: 0, resumed: 0 })
  // Each slice is hundreds of connections and thousands of tickets: what any of them left would add up.
  const growth = memory.at(-1) as number - Math.max(...memory.slice(0, SLICES / 2))
  t.ok(growth < 24, `memory grew by ${growth} MB in the second half`)

  for (const protocol of PROTOCOLS) {
    const session = await sessionFrom(sameKey, protocol)
    const { reused } = await connect({ port, protocol, servername: NAME, session, ciphers: CIPHERS[protocol] })
    t.equal(reused, true, `${protocol}: the server serves, and a good ticket resumes`)
  }
})
