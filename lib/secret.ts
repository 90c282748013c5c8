import { addon } from './native.js'

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

/** Hands out pieces of few allocations: a page of its own for every 32-byte key would cost a system call each. */
export function secretArena (): (bytes: number) => Buffer {
  // One page, less the header that native/secret_memory.cc puts before it.
  const size = 4080
  let block: Buffer | undefined
  let used = 0
  return (bytes) => {
    if (bytes > size) return allocateSecret(bytes)
    if (block === undefined || used + bytes > size) {
      block = allocateSecret(size)
      used = 0
    }
    used += bytes
    return block.subarray(used - bytes, used)
  }
}

/** HKDF-SHA256 (RFC 5869) of `secret`, `bytes` long, in locked memory. */
export function hkdf (secret: Buffer, salt: Buffer, info: Buffer, out: Buffer): void {
  if (!addon().hkdf(secret, salt, info, out)) throw new Error('OpenSSL refused HKDF-SHA256')
}
