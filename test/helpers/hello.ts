import { createHash, createHmac, randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import type { Protocol } from './connect.js'

const SERVER_NAME = 0
const SUPPORTED_GROUPS = 10
const EC_POINT_FORMATS = 11
const SIGNATURE_ALGORITHMS = 13
const EXTENDED_MASTER_SECRET = 23
const SESSION_TICKET = 35
const PRE_SHARED_KEY = 41
const SUPPORTED_VERSIONS = 43
const PSK_KEY_EXCHANGE_MODES = 45
const KEY_SHARE = 51
const X25519 = 29
const MAX_RECORD = 16384
/** An invalid binder, for tickets whose binder the server never verifies. */
const NO_BINDER = Buffer.alloc(32)

/** Cipher suites and their numbers (IANA's TLS registry). */
export const SUITES = {
  'ECDHE-ECDSA-AES128-GCM-SHA256': 0xc02b,
  'ECDHE-ECDSA-AES256-GCM-SHA384': 0xc02c,
  TLS_AES_128_GCM_SHA256: 0x1301,
  TLS_AES_256_GCM_SHA384: 0x1302
} as const

/** A handmade ClientHello that no TLS library would send. */
export interface Hello {
  protocol: Protocol
  /** TLS 1.2: the content of the session_ticket extension. */
  ticket?: Buffer
  /**
   * TLS 1.3: the tickets in the pre_shared_key extension. A ticket with a `secret` (of a SHA-256 session) gets
   * a valid binder.
   */
  identities?: Array<{ ticket: Buffer, secret?: Buffer }>
  /** A server name, or the content of the server_name extension. */
  serverName?: string | Buffer
  suites?: number[]
  /** TLS 1.2, default `true`. */
  extendedMasterSecret?: boolean
}

/** The server's reply to a ClientHello. */
export interface Reply {
  /** The alert's description (RFC 8446 section 6), if the reply is an alert. */
  alert?: number
  /** TLS 1.3: the index of the accepted identity. */
  identity?: number
}

/** Encodes a ClientHello as TLS records. */
export function encodeHello (hello: Hello): Buffer {
  const message = handshakeMessage(hello)
  const records: Buffer[] = []
  for (let start = 0; start < message.length; start += MAX_RECORD) {
    const part = message.subarray(start, start + MAX_RECORD)
    records.push(Buffer.from([22, 3, 1]), vector(2, part))
  }
  return Buffer.concat(records)
}

function handshakeMessage (hello: Hello): Buffer {
  const tls13 = hello.protocol === 'TLSv1.3'
  const { identities = [], suites = tls13 ? [SUITES.TLS_AES_128_GCM_SHA256] : [SUITES['ECDHE-ECDSA-AES128-GCM-SHA256']] } = hello
  const extensions = [
    ...(hello.serverName === undefined ? [] : [extension(SERVER_NAME, nameList(hello.serverName))]),
    extension(SUPPORTED_GROUPS, vector(2, numbers(X25519, 23))),
    extension(SIGNATURE_ALGORITHMS, vector(2, numbers(0x0403, 0x0804, 0x0401)))
  ]
  if (tls13) {
    extensions.push(extension(SUPPORTED_VERSIONS, vector(1, numbers(0x0304))))
    extensions.push(extension(PSK_KEY_EXCHANGE_MODES, vector(1, Buffer.from([1]))))
    extensions.push(extension(KEY_SHARE, vector(2, Buffer.concat([numbers(X25519), vector(2, randomBytes(32))]))))
    if (identities.length > 0) {
      const list = identities.map(({ ticket }) => Buffer.concat([vector(2, ticket), Buffer.alloc(4)]))
      const binders = vector(2, Buffer.concat(identities.map(() => vector(1, NO_BINDER))))
      extensions.push(extension(PRE_SHARED_KEY, Buffer.concat([vector(2, Buffer.concat(list)), binders])))
    }
  } else {
    extensions.push(extension(EC_POINT_FORMATS, vector(1, Buffer.from([0]))))
    if (hello.extendedMasterSecret !== false) extensions.push(extension(EXTENDED_MASTER_SECRET, Buffer.alloc(0)))
    if (hello.ticket !== undefined) extensions.push(extension(SESSION_TICKET, hello.ticket))
  }
  const body = Buffer.concat([
    Buffer.from([3, 3]), randomBytes(32), vector(1, tls13 ? randomBytes(32) : Buffer.alloc(0)),
    vector(2, numbers(...suites)), Buffer.from([1, 0]), vector(2, Buffer.concat(extensions))
  ])
  const message = Buffer.concat([Buffer.from([1]), vector(3, body)])
  if (tls13) sign(message, identities)
  return message
}

/** Fills in the binders. They are at the end, and cover everything before them (RFC 8446 section 4.2.11.2). */
function sign (message: Buffer, identities: Array<{ secret?: Buffer }>): void {
  const size = 1 + NO_BINDER.length
  const start = message.length - identities.length * size
  const transcript = createHash('sha256').update(message.subarray(0, start - 2)).digest()
  for (const [i, { secret }] of identities.entries()) {
    if (secret === undefined) continue
    const early = hmac(Buffer.alloc(32), secret)
    const key = expandLabel(early, 'res binder', createHash('sha256').digest())
    hmac(expandLabel(key, 'finished', Buffer.alloc(0)), transcript).copy(message, start + i * size + 1)
  }
}

function hmac (key: Buffer, data: Buffer): Buffer {
  return createHmac('sha256', key).update(data).digest()
}

/** HKDF-Expand-Label (RFC 8446 section 7.1) for 32 bytes. */
function expandLabel (secret: Buffer, label: string, context: Buffer): Buffer {
  return hmac(secret, Buffer.concat([numbers(32), vector(1, Buffer.from(`tls13 ${label}`)), vector(1, context), Buffer.from([1])]))
}

function nameList (name: string | Buffer): Buffer {
  return typeof name === 'string' ? vector(2, Buffer.concat([Buffer.from([0]), vector(2, Buffer.from(name, 'latin1'))])) : name
}

function extension (type: number, content: Buffer): Buffer {
  return Buffer.concat([numbers(type), vector(2, content)])
}

function numbers (...values: number[]): Buffer {
  return Buffer.from(values.flatMap((value) => [value >> 8, value & 0xff]))
}

function vector (lengthBytes: number, content: Buffer): Buffer {
  const length = Buffer.alloc(lengthBytes)
  length.writeUIntBE(content.length, 0, lengthBytes)
  return Buffer.concat([length, content])
}

/** Sends a ClientHello, reads the ServerHello or the alert, and hangs up. */
export async function sendHello (port: number, hello: Hello): Promise<Reply> {
  return await new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    let received: Buffer = Buffer.alloc(0)
    socket.setTimeout(30_000, () => { socket.destroy(new Error('no answer')) })
    socket.on('connect', () => { socket.write(encodeHello(hello)) })
    socket.on('data', (bytes: Buffer) => {
      received = received.length === 0 ? bytes : Buffer.concat([received, bytes])
      if (received.length < 5 || received.length < 5 + received.readUInt16BE(3)) return
      resolve(readReply(received))
      socket.resetAndDestroy()
    })
    socket.on('error', reject)
    socket.on('close', () => { reject(new Error('closed without an answer')) })
  })
}

function readReply (bytes: Buffer): Reply {
  if (bytes[0] === 21) return { alert: bytes.readUInt8(6) }
  if (bytes[0] !== 22 || bytes[5] !== 2) throw new Error(`not a ServerHello: ${bytes.toString('hex', 0, 6)}`)
  // header 5 + 4, version 2, random 32, session id, suite 2, compression 1, extensions
  let at = 9 + 34
  at += 1 + bytes.readUInt8(at) + 3
  const end = 5 + bytes.readUInt16BE(3)
  for (at += 2; at + 4 <= end; at += 4 + bytes.readUInt16BE(at + 2)) {
    if (bytes.readUInt16BE(at) === PRE_SHARED_KEY) return { identity: bytes.readUInt16BE(at + 4) }
  }
  return {}
}
