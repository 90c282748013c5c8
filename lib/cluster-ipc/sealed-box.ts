import { createCipheriv, createDecipheriv, createPublicKey, diffieHellman, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { allocateSecret, erase, hkdf } from '../native/secret-memory.js'

const LABEL = Buffer.from('fastify-ticket-keys cluster 1')
const CIPHER = 'aes-256-gcm'
const KEY_LENGTH = 32
const IV_LENGTH = 12
const TAG_LENGTH = 16
/** Of an X25519 public key in DER (RFC 8410). */
const PUBLIC_LENGTH = 44

/** Encodes a public key for the channel, as DER. */
export function exportPublic (key: KeyObject): Buffer {
  return key.export({ type: 'spki', format: 'der' })
}

/** Throws where it is no X25519 key. */
export function importPublic (der: Buffer): KeyObject {
  const key = createPublicKey({ key: der, type: 'spki', format: 'der' })
  if (key.asymmetricKeyType !== 'x25519') throw new Error('not an X25519 key')
  return key
}

/**
 * Encrypts for the holder of the recipient's private key, with a new key pair each time. Returns the public key of that pair, the
 * ciphertext and the tag.
 * @param bound what `open` must be told as well
 */
export function seal (plain: Buffer, recipient: KeyObject, bound: string): Buffer {
  const once = generateKeyPairSync('x25519')
  const sender = exportPublic(once.publicKey)
  const { key, iv, done } = deriveKey(once.privateKey, recipient, sender, exportPublic(recipient))
  try {
    const cipher = createCipheriv(CIPHER, key, iv).setAAD(Buffer.from(bound))
    return Buffer.concat([sender, cipher.update(plain), cipher.final(), cipher.getAuthTag()])
  } finally {
    done()
  }
}

/** Decrypts into locked memory; erase it. Throws where anything of it was changed, or it is another's. */
export function open (sealed: Buffer, privateKey: KeyObject, bound: string): Buffer {
  const sender = sealed.subarray(0, PUBLIC_LENGTH)
  const { key, iv, done } = deriveKey(privateKey, importPublic(sender), sender, exportPublic(createPublicKey(privateKey)))
  let loose: Buffer | undefined
  try {
    const decipher = createDecipheriv(CIPHER, key, iv).setAAD(Buffer.from(bound)).setAuthTag(sealed.subarray(-TAG_LENGTH))
    loose = decipher.update(sealed.subarray(PUBLIC_LENGTH, -TAG_LENGTH))
    decipher.final()
    const plain = allocateSecret(loose.length)
    loose.copy(plain)
    return plain
  } finally {
    done()
    if (loose !== undefined) erase(loose)
  }
}

/** Key and IV for one message: no other has the same, since one of the two key pairs is new. */
function deriveKey (
  privateKey: KeyObject, publicKey: KeyObject, sender: Buffer, recipient: Buffer
): { key: Buffer, iv: Buffer, done: () => void } {
  const secret = diffieHellman({ privateKey, publicKey })
  const derived = allocateSecret(KEY_LENGTH + IV_LENGTH)
  try {
    hkdf(secret, Buffer.concat([sender, recipient]), LABEL, derived)
  } finally {
    erase(secret)
  }
  return { key: derived.subarray(0, KEY_LENGTH), iv: derived.subarray(KEY_LENGTH), done: () => erase(derived) }
}
