import { randomBytes, randomInt } from 'node:crypto'
import type { RejectReason } from '../../lib/native/types.js'
import type { StaticKeyParts } from '../../lib/sources/static.js'
import { applicationData, withApplicationData } from './client.js'
import type { Protocol } from './client.js'
import type { Hello, Reply } from './hello.js'
import { EXTENDED_MASTER_SECRET_ALERT } from './openssl.js'
import { openTicket, sealTicket } from './open-ticket.js'

export const NAME = 'a.test'

const DECODE_ERROR = 50

export const key = randomBytes(80)

/** Returns a key that issues and accepts until `acceptUntil`. */
export const until = (key: Buffer, acceptUntil: number): StaticKeyParts => ({
  name: key.subarray(0, 16),
  hmacKey: key.subarray(16, 48),
  aesKey: key.subarray(48),
  notBefore: 0,
  issueUntil: acceptUntil,
  acceptUntil
})

/** The server examines at most this many tickets of a ClientHello. */
const MAX_TICKETS = 4

/** A ClientHello, the expected reject reasons, and the expected reply. */
export interface Attack {
  hello: Omit<Hello, 'protocol'>
  reasons: RejectReason[]
  reply: Reply
}

/** A bad ticket, and the expected reject reason. */
type Bad = [ticket: Buffer, reason: RejectReason]

/** The tickets of one protocol version from which the bad tickets are made. */
export interface Material {
  good: Buffer
  secret: Buffer
  /** tickets of the other protocol version, of another name, of another key, of an expired key, of another cipher */
  otherVersion: Buffer
  otherName: Buffer
  otherKey: Buffer
  expired: Buffer
  otherCipher: Buffer
}

const oneOf = <Value>(...values: Value[]): Value => values[randomInt(values.length)] as Value

/** Length of a record without a server name: version and flags, and two times. */
const FIXED_SIZE = 13
const VERSION = 0x20

/** Returns application data that this package did not write: with an unknown version or flag, or with wrong lengths. */
function misread (data: Buffer): Buffer {
  const copy = Buffer.from(data)
  switch (randomInt(6)) {
    case 0: copy[0] = oneOf(0x00, 0x10, 0x30, 0xf0); return copy
    case 1: copy[0] = VERSION + oneOf(8, 9, 15); return copy
    // A client's verification, or session data, for which the record is too short.
    case 2: copy[0] = VERSION + oneOf(2, 3, 4, 5, 6); return copy
    case 3: return data.subarray(0, randomInt(FIXED_SIZE))
    case 4: return Buffer.concat([data, randomBytes(randomInt(256, 600))])
    default: return Buffer.concat([Buffer.from([0x10]), randomBytes(randomInt(300))])
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

/** Returns malformed content of a server_name extension. */
function malformedNames (): Buffer {
  const name = Buffer.from(NAME)
  return oneOf(
    Buffer.alloc(0), Buffer.from([0]), Buffer.from([0, 0]), Buffer.from([0, 3, 0, 0, 9]), Buffer.from([0, 1, 0]),
    Buffer.concat([Buffer.from([0, 9, 0, 0, 200]), name]), Buffer.concat([Buffer.from([0, 9, 0, 0, 5]), name]),
    Buffer.concat([Buffer.from([0xff, 0xff, 0, 0, 6]), name]), randomBytes(randomInt(1, 40)).fill(0xff, 0, 1)
  )
}

/** Returns a name that differs from the ticket's, for a well-formed server_name extension. */
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

export function attack (protocol: Protocol, material: Material): Attack {
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
  // The server examines only the first MAX_TICKETS tickets of a ClientHello.
  const reasons = bad.slice(0, MAX_TICKETS).map(([, reason]) => reason)
  if (randomInt(2) === 0) return { hello: { identities, serverName: NAME }, reasons, reply: {} }
  // The server accepts a good ticket among them, and does not examine the tickets after it.
  const identity = randomInt(bad.length + 1)
  identities.splice(identity, 0, { ticket: good, secret })
  const hello = { identities, serverName: NAME }
  return identity < MAX_TICKETS
    ? { hello, reasons: reasons.slice(0, identity), reply: { identity } }
    : { hello, reasons, reply: {} }
}
