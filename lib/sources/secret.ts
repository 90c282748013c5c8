import { allocateSecret, erase, hkdf, SecretArena } from '../native/secret-memory.js'
import { keysAhead } from '../keys/timetable.js'
import type { KeySource, SourceKeys } from './key-source.js'
import type { SourceKey } from '../keys/key.js'

/** Minimum length of a shared secret in bytes. HKDF with HMAC-SHA256 cannot make use of more random bytes. */
export const MIN_SECRET = 32

const NEVER_ISSUES = { notBefore: -Infinity, issueUntil: -Infinity }

const SALT = Buffer.from('fastify-ticket-keys secret source 1')

/**
 * Returns a secret without the line end that editors and `echo` add. The secret is then the same from a file and from a
 * variable. One in 256 secrets of 32 random bytes ends in a line feed. So the line end stays if the secret is not text
 * and would be too short without it.
 */
export function withoutLineEnd (secret: Buffer): Buffer {
  const end = secret.at(-1) === 10 ? (secret.at(-2) === 13 ? 2 : 1) : 0
  const content = secret.subarray(0, secret.length - end)
  const isText = content.every((byte) => byte >= 0x20 && byte < 0x7f)
  return content.length < MIN_SECRET && !isText ? secret : content
}

/**
 * Derives the key of an interval, which is the same on every host. Uses HKDF-SHA256 with the salt above. The info is
 * the interval's length in ms and its number since 1970, 8 bytes each, big-endian. The 80 output bytes are 16 for the
 * name, 32 for the AES key and 32 for the HMAC key.
 */
export function deriveKey (
  secret: Buffer, interval: number, number: number, alloc: (bytes: number) => Buffer = allocateSecret
): Required<Pick<SourceKey, 'name' | 'aesKey' | 'hmacKey'>> {
  const info = Buffer.alloc(16)
  info.writeBigUInt64BE(BigInt(interval), 0)
  info.writeBigUInt64BE(BigInt(number), 8)
  const bytes = alloc(80)
  hkdf(secret, SALT, info, bytes)
  return { name: Buffer.from(bytes.subarray(0, 16)), aesKey: bytes.subarray(16, 48), hmacKey: bytes.subarray(48, 80) }
}

/** Derives keys from a secret and the clock. Every host with the secret has the same keys, without a central server. */
export class SecretSource implements KeySource {
  readonly type = 'secret'
  readonly makesKeys = true
  #secrets: Buffer[]
  readonly #interval: number
  readonly #lifetime: number
  readonly #arena = new SecretArena()
  #warning: string | undefined

  /**
   * @param secrets the current secret, then earlier secrets, whose tickets still resume; copied. Durations are in ms.
   */
  constructor (
    secrets: ReadonlyArray<string | Buffer>,
    { rotationInterval, ticketLifetime, tls12Tickets }: { rotationInterval: number, ticketLifetime: number, tls12Tickets: boolean }
  ) {
    this.#secrets = secrets.map((secret) => {
      const given = typeof secret === 'string' ? Buffer.from(secret) : secret
      const content = withoutLineEnd(given)
      const copy = allocateSecret(content.length)
      content.copy(copy)
      if (given !== secret) erase(given)
      return copy
    })
    this.#interval = Math.round(rotationInterval)
    this.#lifetime = ticketLifetime
    if (tls12Tickets) {
      this.#warning = 'anyone who learns the shared secret can compute every ticket key, past ones too, ' +
        'and with TLS 1.2 tickets decrypt recorded traffic: set tls12Tickets to false where that matters'
    }
  }

  load (now: number): SourceKeys {
    const interval = this.#interval
    const present = Math.max(0, Math.floor(now / interval))
    const first = Math.max(0, present - Math.ceil(this.#lifetime / interval) - 1)
    // The ring has its own copy of the keys of the last load.
    this.#arena.clear()
    const keys: SourceKey[] = []
    this.#secrets.forEach((secret, index) => {
      for (let number = first; number <= present + keysAhead(interval); number++) {
        const start = number * interval
        const issueUntil = start + interval
        // Another host's clock may be one interval behind. The tickets that it issues then must resume here.
        const acceptUntil = issueUntil + interval + this.#lifetime
        // The oldest key has no beginning, so that a key can issue even if the clock is set back.
        const times = index > 0 ? NEVER_ISSUES : { notBefore: number === first ? -Infinity : start, issueUntil }
        keys.push({ ...deriveKey(secret, interval, number, this.#arena.allocate), ...times, acceptUntil })
      }
    })
    const warnings = this.#warning === undefined ? [] : [this.#warning]
    this.#warning = undefined
    return { keys, timed: true, refreshAt: (present + 1) * interval, warnings }
  }

  close (): void {
    erase(...this.#secrets)
    // Never derive keys from the erased secrets.
    this.#secrets = []
  }
}
