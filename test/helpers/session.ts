/**
 * Reads and changes sessions, which Node.js returns as Buffers: the DER form of OpenSSL's SSL_SESSION
 * (`i2d_SSL_SESSION`), a SEQUENCE with explicitly tagged optional fields.
 */
const INTEGER = 0x02
const OCTET_STRING = 0x04
const SEQUENCE = 0x30
/** Constructed, context-specific: field n has the tag FIELD + n. */
const FIELD = 0xa0
const TIME = 1
const TIMEOUT = 2
const LIFETIME_HINT = 9
const TICKET = 10
const APPLICATION_DATA = 18

/**
 * Newer Node.js versions put this prefix before a client's session, then the length of the server name in two bytes and
 * the server name.
 */
const NODE_PREFIX = Buffer.from('\0nodejs:tls:session:1\0')

interface Element {
  tag: number
  content: Buffer
  /** The complete element, with tag and length. */
  encoded: Buffer
}

/**
 * A client's session without the prefix of Node.js. Node.js 22.23 and later bind a session to a server name, and
 * silently drop it for other names. Tests must be able to offer a ticket under another name.
 */
export function rawSession (session: Buffer): Buffer {
  const length = NODE_PREFIX.length
  if (!session.subarray(0, length).equals(NODE_PREFIX)) return session
  return session.subarray(length + 2 + session.readUInt16BE(length))
}

/** The raw ticket that the client sends; empty if the session has none. */
export function sessionTicket (session: Buffer): Buffer {
  return field(session, TICKET, OCTET_STRING) ?? Buffer.alloc(0)
}

/** The first 16 bytes of the ticket, which are the name of the ticket's key. */
export function ticketKeyName (session: Buffer): Buffer {
  return sessionTicket(session).subarray(0, 16)
}

/** The ticket's lifetime hint in seconds; 0 if there is none. */
export function ticketLifetimeHint (session: Buffer): number {
  return integer(session, LIFETIME_HINT)
}

/** How long the client itself keeps the session, in seconds. */
export function sessionTimeout (session: Buffer): number {
  return integer(session, TIMEOUT)
}

/** When the session began, in seconds since 1970. */
export function sessionTime (session: Buffer): number {
  return integer(session, TIME)
}

/** The session with another ticket, of any length. */
export function withTicket (session: Buffer, ticket: Buffer): Buffer {
  return withField(session, TICKET, encode(OCTET_STRING, ticket))
}

/** The session with a lifetime of a day, so that the client offers its ticket regardless of the server's hint. */
export function withLongLife (session: Buffer): Buffer {
  const day = encode(INTEGER, Buffer.from([1, 0x51, 0x80]))
  return withField(withField(session, TIMEOUT, day), LIFETIME_HINT, day)
}

/** The application data in the session. It is only readable in a decrypted ticket. */
export function applicationData (session: Buffer): Buffer {
  return field(session, APPLICATION_DATA, OCTET_STRING) ?? Buffer.alloc(0)
}

/** The session with other application data. */
export function withApplicationData (session: Buffer, data: Buffer): Buffer {
  return withField(session, APPLICATION_DATA, encode(OCTET_STRING, data))
}

/** The session's secret: the master secret in TLS 1.2, the pre-shared key in TLS 1.3. */
export function sessionSecret (session: Buffer): Buffer {
  const secret = elements(elements(rawSession(session))[0]?.content ?? Buffer.alloc(0))[4]
  if (secret?.tag !== OCTET_STRING) throw new Error('this is not a session')
  return secret.content
}

function withField (session: Buffer, number: number, content: Buffer): Buffer {
  const replacement = encode(FIELD + number, content)
  const others = fields(session).filter(({ tag }) => tag !== FIELD + number)
  const next = others.findIndex(({ tag }) => tag > FIELD + number)
  const parts = others.map(({ encoded }) => encoded)
  parts.splice(next === -1 ? parts.length : next, 0, replacement)
  return encode(SEQUENCE, Buffer.concat(parts))
}

/** The session with one bit of its ticket changed. A negative offset counts bytes from the end of the ticket. */
export function flipBit (session: Buffer, offset: number): Buffer {
  const ticket = Buffer.from(sessionTicket(session))
  const index = offset < 0 ? ticket.length + offset : offset
  const byte = ticket[index]
  if (byte === undefined) throw new RangeError(`the ticket has ${ticket.length} bytes, none at ${offset}`)
  ticket[index] = byte ^ 1
  return withTicket(session, ticket)
}

function integer (session: Buffer, number: number): number {
  const bytes = field(session, number, INTEGER)
  return bytes === undefined ? 0 : Number(BigInt(`0x${bytes.toString('hex')}`))
}

function field (session: Buffer, number: number, type: number): Buffer | undefined {
  const wrapper = fields(session).find(({ tag }) => tag === FIELD + number)
  if (wrapper === undefined) return undefined
  const [inner] = elements(wrapper.content)
  if (inner?.tag !== type) throw new Error(`field ${number} of the session is not what it should be`)
  return inner.content
}

function fields (session: Buffer): Element[] {
  const [sequence] = elements(rawSession(session))
  if (sequence?.tag !== SEQUENCE) throw new Error('this is not a session')
  return elements(sequence.content)
}

function elements (buffer: Buffer): Element[] {
  const found: Element[] = []
  for (let offset = 0; offset < buffer.length;) {
    const tag = buffer.readUInt8(offset)
    const first = buffer.readUInt8(offset + 1)
    const lengthBytes = first < 0x80 ? 0 : first - 0x80
    const length = lengthBytes === 0 ? first : buffer.readUIntBE(offset + 2, lengthBytes)
    const start = offset + 2 + lengthBytes
    const end = start + length
    if (end > buffer.length) throw new Error('the session is cut short')
    found.push({ tag, content: buffer.subarray(start, end), encoded: buffer.subarray(offset, end) })
    offset = end
  }
  return found
}

function encode (tag: number, content: Buffer): Buffer {
  const length = content.length
  if (length < 0x80) return Buffer.concat([Buffer.from([tag, length]), content])
  const bytes: number[] = []
  for (let rest = length; rest > 0; rest >>>= 8) bytes.unshift(rest & 0xff)
  return Buffer.concat([Buffer.from([tag, 0x80 + bytes.length, ...bytes]), content])
}
