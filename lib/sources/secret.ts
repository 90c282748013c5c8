import { allocateSecret, erase, hkdf, SecretArena } from '../native/secret-memory.js'
import { keysAhead } from '../keys/timetable.js'
import type { KeySource, SourceKeys } from './key-source.js'
import type { SourceKey } from '../keys/key.js'

/** Least bytes of a shared secret: as many as HMAC-SHA256, and so HKDF, can make use of. */
export const MIN_SECRET = 32

const NEVER_ISSUES = { notBefore: -Infinity, issueUntil: -Infinity }

const SALT = Buffer.from('fastify-ticket-keys secret source 1')

/**
 * A secret without the line end that editors and `echo` leave: it is the same from a file and from a variable. Of 32 random bytes the last
 * is a line
 * feed one time in 256: bytes that are no text, and too few without it, keep it.
 */
export function withoutLineEnd (secret: Buffer): Buffer {
  const end = secret.at(-1) === 10 ? (secret.at(-2) === 13 ? 2 : 1) : 0
  const content = secret.subarray(0, secret.length - end)
  const isText = content.every((byte) => byte >= 0x20 && byte < 0x7f)
  return content.length < MIN_SECRET && !isText ? secret : content
}

/**
 * The key of an interval, the same on every host: HKDF-SHA256 with the salt above; the info is the interval's length in ms and its number
 * since 1970, 8 bytes each, big-endian. Of the 80 bytes that come out, 16 are the name, 32 the AES key, 32 the HMAC key.
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

/** Keys derived from one secret and the clock: every host that has it has the same ones, with no server in between. */
export class SecretSource implements KeySource {
  readonly type = 'secret'
  readonly makesKeys = true
  #secrets: Buffer[]
  readonly #interval: number
  readonly #lifetime: number
  readonly #arena = new SecretArena()
  #warning: string | undefined

  /** @param secrets the present one, then earlier ones, whose tickets go on resuming; copied. Durations in ms. */
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
      this.#warning = 'whoever learns the shared secret can compute every ticket key, past ones too, ' +
        'and with TLS 1.2 tickets decrypt recorded traffic: set tls12Tickets to false where that matters'
    }
  }

  load (now: number): SourceKeys {
    const interval = this.#interval
    const present = Math.max(0, Math.floor(now / interval))
    const first = Math.max(0, present - Math.ceil(this.#lifetime / interval) - 1)
    // What the last load gave is in the ring.
    this.#arena.clear()
    const keys: SourceKey[] = []
    this.#secrets.forEach((secret, index) => {
      for (let number = first; number <= present + keysAhead(interval); number++) {
        const start = number * interval
        const issueUntil = start + interval
        // Another host's clock may be one interval behind: what it issues then still resumes here.
        const acceptUntil = issueUntil + interval + this.#lifetime
        // The oldest has no beginning: a clock that goes back always finds a key that issues.
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
    // No key is ever derived from the zeros.
    this.#secrets = []
  }
}
