import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto'

/** The 80 bytes of a static key are its name, its HMAC key and its AES key. */
const parts = (key: Buffer): { name: Buffer, hmacKey: Buffer, aesKey: Buffer } =>
  ({ name: key.subarray(0, 16), hmacKey: key.subarray(16, 48), aesKey: key.subarray(48) })

/** Decrypts the session in a ticket (RFC 5077 section 4) with the ticket's key. Returns OpenSSL's DER form. */
export function openTicket (key: Buffer, ticket: Buffer): Buffer {
  const { hmacKey, aesKey } = parts(key)
  const mac = createHmac('sha256', hmacKey).update(ticket.subarray(0, -32)).digest()
  if (!mac.equals(ticket.subarray(-32))) throw new Error('the ticket is not of this key')
  const cipher = createDecipheriv('aes-256-cbc', aesKey, ticket.subarray(16, 32))
  return Buffer.concat([cipher.update(ticket.subarray(32, -32)), cipher.final()])
}

/** Encrypts any content as a ticket. */
export function sealTicket (key: Buffer, session: Buffer): Buffer {
  const { name, hmacKey, aesKey } = parts(key)
  const iv = randomBytes(16)
  const cipher = createCipheriv('aes-256-cbc', aesKey, iv)
  const head = Buffer.concat([name, iv, cipher.update(session), cipher.final()])
  return Buffer.concat([head, createHmac('sha256', hmacKey).update(head).digest()])
}
