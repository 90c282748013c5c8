import { createPublicKey, diffieHellman, generateKeyPairSync, type KeyObject, type KeyPairKeyObjectResult } from 'node:crypto'
import { allocateSecret, erase, hkdf, openWithKey, sealWithKey } from '../native/secret-memory.js'

/*
 * Sealing protects the keys on their way through the cluster's IPC channel. Both ends of the channel keep messages in
 * ordinary memory: in JavaScript strings, in V8's serializer and in socket buffers. An attacker who gets a core dump, a
 * heap snapshot or a swapped page of the primary or of a worker finds ciphertext there. Sealing does not protect
 * against an attacker who runs code in either process.
 */

const LABEL = Buffer.from('fastify-ticket-keys cluster 1')
const KEY_LENGTH = 32
const IV_LENGTH = 12
/** Length of a P-256 public key in DER (RFC 5480, uncompressed point), in bytes. */
const PUBLIC_LENGTH = 91

/** Makes a P-256 key pair. OpenSSL's FIPS provider does not offer X25519. */
export function makeKeyPair (): KeyPairKeyObjectResult {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' })
}

/** Encodes a public key for the channel, as DER. */
export function exportPublic (key: KeyObject): Buffer {
  return key.export({ type: 'spki', format: 'der' })
}

/** Decodes a public key. Throws if it is not a P-256 key. */
export function importPublic (der: Buffer): KeyObject {
  const key = createPublicKey({ key: der, type: 'spki', format: 'der' })
  if (key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') throw new Error('not a P-256 key')
  return key
}

/**
 * Encrypts for the holder of the recipient's private key, with a new key pair for each message. Returns the public key
 * of that pair, the ciphertext and the tag.
 * @param bound authenticated but not sent; `open` needs the same string
 */
export function seal (plain: Buffer, recipient: KeyObject, bound: string): Buffer {
  const once = makeKeyPair()
  const sender = exportPublic(once.publicKey)
  const { key, iv, done } = deriveKey(once.privateKey, recipient, sender, exportPublic(recipient))
  try {
    return Buffer.concat([sender, sealWithKey({ key, iv, associated: Buffer.from(bound) }, plain)])
  } finally {
    done()
  }
}

/**
 * Decrypts into locked memory. The caller erases the Buffer. Throws if any byte was changed, or if it was sealed for
 * another process.
 */
export function open (sealed: Buffer, privateKey: KeyObject, bound: string): Buffer {
  const sender = sealed.subarray(0, PUBLIC_LENGTH)
  const { key, iv, done } = deriveKey(privateKey, importPublic(sender), sender, exportPublic(createPublicKey(privateKey)))
  try {
    return openWithKey({ key, iv, associated: Buffer.from(bound) }, sealed.subarray(PUBLIC_LENGTH))
  } finally {
    done()
  }
}

/** Derives the key and IV for one message. They are unique, because one of the two key pairs is new. */
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
