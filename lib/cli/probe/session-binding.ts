/*
 * Node.js 22.23 and later bind a client's session to its server. They put a prefix before OpenSSL's bytes: a marker,
 * the length of the server name in two bytes, and the name. If no server name was sent, the address takes its place.
 * Node.js then does not offer the session to another server. If it verifies certificates, it also does not offer a
 * session without the prefix. The probe has to present tickets at other addresses and under other names, so it replaces
 * the prefix.
 */
const PREFIX = Buffer.from('\0nodejs:tls:session:1\0')
const NAME = PREFIX.length + 2

/** The session's OpenSSL bytes, without the prefix of Node.js. */
export function unbound (session: Buffer): Buffer {
  return isBound(session) ? session.subarray(NAME + session.readUInt16BE(PREFIX.length)) : session
}

/** Binds a session to another server. Returns a session without a prefix unchanged. */
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
