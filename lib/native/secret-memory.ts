import { addon } from './binding.js'

/**
 * A zeroed Buffer in memory that is locked against swapping, left out of core dumps and zeroed in forked children; cleansed when it
 * is collected, or at once by `erase`.
 */
export function allocateSecret (bytes: number): Buffer {
  return addon().allocateSecret(bytes)
}

/** Zeros that no compiler leaves out. */
export function erase (...buffers: Buffer[]): void {
  for (const buffer of buffers) addon().cleanse(buffer)
}

/** The same for what a source gave. */
export function eraseKeys (keys: Array<{ aesKey?: Buffer, hmacKey?: Buffer }>): void {
  for (const { aesKey, hmacKey } of keys) erase(...[aesKey, hmacKey].filter((half) => half !== undefined))
}

/**
 * One page, less the header that native/keys/secret_memory.cc puts before it: a page of its own for every key would cost a system call
 * each.
 */
const BLOCK = 4080

/**
 * Hands out pieces of few allocations, and the same ones again after `clear`: what is read every few seconds must not wait for the
 * collector.
 */
export class SecretArena {
  readonly #blocks: Buffer[] = []
  #block = 0
  #used = 0

  /** `bytes` of zeros, until `clear`. */
  readonly allocate = (bytes: number): Buffer => {
    for (;; this.#block++, this.#used = 0) {
      const block = this.#blocks[this.#block] ?? allocateSecret(Math.max(bytes, BLOCK))
      this.#blocks[this.#block] = block
      if (block.length - this.#used < bytes) continue
      this.#used += bytes
      return block.subarray(this.#used - bytes, this.#used)
    }
  }

  /** Zeroes all that was handed out, to be handed out again. */
  clear (): void {
    erase(...this.#blocks.slice(0, this.#block + 1))
    this.#block = this.#used = 0
  }
}

/** HKDF-SHA256 (RFC 5869) of `secret`, `bytes` long, in locked memory. */
export function hkdf (secret: Buffer, salt: Buffer, info: Buffer, out: Buffer): void {
  if (!addon().hkdf(secret, salt, info, out)) throw new Error('OpenSSL refused HKDF-SHA256')
}
