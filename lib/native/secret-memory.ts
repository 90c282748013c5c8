import { addon } from './binding.js'

/**
 * Allocates a zeroed Buffer in memory that is locked against swapping, left out of core dumps and zeroed in forked
 * children. The memory is cleansed when the Buffer is garbage-collected, or at once by `erase`.
 */
export function allocateSecret (bytes: number): Buffer {
  return addon().allocateSecret(bytes)
}

/** Zeroes buffers in a way that the compiler cannot optimize away. */
export function erase (...buffers: Buffer[]): void {
  for (const buffer of buffers) addon().cleanse(buffer)
}

/** Zeroes the bytes of keys from a source. */
export function eraseKeys (keys: Array<{ aesKey?: Buffer, hmacKey?: Buffer }>): void {
  for (const { aesKey, hmacKey } of keys) erase(...[aesKey, hmacKey].filter((half) => half !== undefined))
}

/** One page without the header of native/keys/secret_memory.cc. One page per key would cost a system call each. */
const BLOCK = 4080

/**
 * Allocates small buffers from a few pages, and reuses the pages after `clear`. Sources that are read every few seconds
 * need not wait for the garbage collector.
 */
export class SecretArena {
  readonly #blocks: Buffer[] = []
  #block = 0
  #used = 0

  /** Returns `bytes` zero bytes, which are valid until `clear`. */
  readonly allocate = (bytes: number): Buffer => {
    for (;; this.#block++, this.#used = 0) {
      const block = this.#blocks[this.#block] ?? allocateSecret(Math.max(bytes, BLOCK))
      this.#blocks[this.#block] = block
      if (block.length - this.#used < bytes) continue
      this.#used += bytes
      return block.subarray(this.#used - bytes, this.#used)
    }
  }

  /** Zeroes all allocated bytes. The memory is then allocated again. */
  clear (): void {
    erase(...this.#blocks.slice(0, this.#block + 1))
    this.#block = this.#used = 0
  }
}

/** Derives `out` from `secret` by HKDF-SHA256 (RFC 5869). */
export function hkdf (secret: Buffer, salt: Buffer, info: Buffer, out: Buffer): void {
  if (!addon().hkdf(secret, salt, info, out)) throw new Error('OpenSSL refused HKDF-SHA256')
}

const TAG_LENGTH = 16

/** A key of AES-256-GCM with its IV, for one message, and the data that both sides must know. */
export interface Sealing {
  /** 32 bytes */
  key: Buffer
  /** 12 bytes */
  iv: Buffer
  associated: Buffer
}

/** Encrypts with AES-256-GCM. Returns the ciphertext and the tag. */
export function sealWithKey ({ key, iv, associated }: Sealing, plain: Buffer): Buffer {
  const sealed = Buffer.alloc(plain.length + TAG_LENGTH)
  if (!addon().seal(key, iv, associated, plain, sealed)) throw new Error('OpenSSL refused AES-256-GCM')
  return sealed
}

/**
 * Decrypts straight into locked memory. The caller erases the Buffer. Throws if the key or any byte differs from what
 * was sealed.
 */
export function openWithKey ({ key, iv, associated }: Sealing, sealed: Buffer): Buffer {
  const plain = allocateSecret(Math.max(0, sealed.length - TAG_LENGTH))
  if (!addon().open(key, iv, associated, sealed, plain)) throw new Error('the sealed keys were changed, or belong to another process')
  return plain
}
