import { unbound } from './session-binding.js'

// A session of Node.js is the output of OpenSSL's i2d_SSL_SESSION: a DER SEQUENCE of version, protocol, cipher, session
// id and master key, then optional fields. Each optional field has an explicit context tag. Integers that are 0 are
// left out (ssl/ssl_asn1.c).
const SEQUENCE = 0x30
const LIFETIME_HINT = 0xa9 // [9]
const TICKET = 0xaa // [10]

/** The ticket in a client's session. */
export interface Ticket {
  /** The ticket itself, which is opaque to the client. */
  bytes: Buffer
  /** Lifetime hint of the server, in seconds; 0 if there is none. */
  lifetimeHint: number
}

interface Element {
  tag: number
  content: Buffer
  /** Offset of the next element. */
  end: number
}

/**
 * Reads the ticket in a session from `tls.TLSSocket` (`getSession()`, or the `session` event).
 * Returns `undefined` if the session has no ticket, because a TLS 1.2 server stores it under its session id.
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
