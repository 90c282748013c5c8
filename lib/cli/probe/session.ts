import { unbound } from './session-binding.js'

// What Node.js calls a session is OpenSSL's i2d_SSL_SESSION: a DER SEQUENCE of version, protocol, cipher, session id and master key,
// then optional fields, each in an explicit context tag. Integers that are 0 are left out (ssl/ssl_asn1.c).
const SEQUENCE = 0x30
const LIFETIME_HINT = 0xa9 // [9]
const TICKET = 0xaa // [10]

/** What a client's session says about the ticket in it. */
export interface Ticket {
  /** The ticket itself, opaque to the client. */
  bytes: Buffer
  /** The lifetime the server gave it, in seconds; 0 if it gave none. */
  lifetimeHint: number
}

interface Element {
  tag: number
  content: Buffer
  /** Offset of what comes after. */
  end: number
}

/**
 * Reads the ticket out of a session as `tls.TLSSocket` gives it (`getSession()`, or the `session` event).
 * Returns `undefined` if the session has no ticket, as when a TLS 1.2 server knows it by its session id only.
 * Throws a `RangeError` if these bytes are not a session.
 */
export function readTicket (session: Buffer): Ticket | undefined {
  const sequence = element(unbound(session), 0)
  if (sequence.tag !== SEQUENCE) throw new RangeError('not a TLS session: no DER sequence')
  let bytes: Buffer | undefined
  let lifetimeHint = 0
  for (let offset = 0; offset < sequence.content.length;) {
    const field = element(sequence.content, offset)
    if (field.tag === TICKET) bytes = element(field.content, 0).content
    if (field.tag === LIFETIME_HINT) lifetimeHint = integer(element(field.content, 0).content)
    offset = field.end
  }
  return bytes === undefined || bytes.length === 0 ? undefined : { bytes, lifetimeHint }
}

function element (bytes: Buffer, offset: number): Element {
  let start = offset + 2
  const tag = byte(bytes, offset)
  let length = byte(bytes, offset + 1)
  if (length >= 0x80) {
    const octets = length & 0x7f
    if (octets === 0 || octets > 4) throw new RangeError('not a TLS session: a length that DER does not have')
    length = integer(slice(bytes, start, octets))
    start += octets
  }
  return { tag, content: slice(bytes, start, length), end: start + length }
}

function slice (bytes: Buffer, start: number, length: number): Buffer {
  if (start + length > bytes.length) throw new RangeError('not a TLS session: cut short')
  return bytes.subarray(start, start + length)
}

function byte (bytes: Buffer, offset: number): number {
  return slice(bytes, offset, 1).readUInt8()
}

function integer (bytes: Buffer): number {
  return bytes.reduce((value, octet) => value * 256 + octet, 0)
}
