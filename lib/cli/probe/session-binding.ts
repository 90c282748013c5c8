/*
 * Node.js 22.23 and later bind a client's session to the server it is for: before what OpenSSL makes of it they put a prefix, then the
 * server's
 * name, or its address if no name was sent, with its length in two bytes. A session for another server is kept back, and one for none too
 * where
 * certificates are verified. What becomes of a ticket at another address or under another name is what we want to know, though.
 */
const PREFIX = Buffer.from('\0nodejs:tls:session:1\0')
const NAME = PREFIX.length + 2

/** A session as OpenSSL knows it. */
export function unbound (session: Buffer): Buffer {
  return isBound(session) ? session.subarray(NAME + session.readUInt16BE(PREFIX.length)) : session
}

/** The same session for another server, if it is for one at all. */
export function bindTo (server: string, session: Buffer): Buffer {
  if (!isBound(session)) return session
  const name = Buffer.from(server)
  const length = Buffer.alloc(2)
  length.writeUInt16BE(name.length)
  return Buffer.concat([PREFIX, length, name, unbound(session)])
}

function isBound (session: Buffer): boolean {
  return session.length >= NAME && session.subarray(0, PREFIX.length).equals(PREFIX)
}
