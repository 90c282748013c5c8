import { randomFillSync } from 'node:crypto'
import type { KeySource, SourceKeys } from './key-source.js'
import { MAX_KEYS, NAME_LENGTH, type SourceKey } from '../keys/key.js'
import { currentKey, keysAhead, mayIssue, nextChange, timesFrom, timesUntil } from '../keys/timetable.js'
import { SecretArena } from '../native/secret-memory.js'

/** Random keys, made here and rotated here. Only names and times stay with this object: the bytes go to the ring. */
export class MemorySource implements KeySource {
  readonly type = 'memory'
  readonly makesKeys = true
  readonly #interval: number
  readonly #lifetime: number
  readonly #arena = new SecretArena()
  #keys: SourceKey[] = []
  #lastNow = -Infinity

  /** @param interval ms for which a key issues @param lifetime ms for which a ticket can resume */
  constructor (interval: number, lifetime: number) {
    this.#interval = interval
    this.#lifetime = lifetime
  }

  load (now: number): SourceKeys {
    // What the last load gave is in the ring.
    this.#arena.clear()
    if (now < this.#lastNow - 1000) this.#startAgain(now)
    this.#lastNow = now
    this.#keys = this.#keys.filter((key) => now < key.acceptUntil)
    if (currentKey(this.#keys, now) === undefined) this.#startAgain(now)
    this.#extend(now)
    // Whatever the clock does next, one key has begun.
    const oldest = this.#keys.find(mayIssue)
    if (oldest !== undefined) oldest.notBefore = -Infinity
    const keys = this.#keys
    // The ring has the bytes from here on, and this object no longer does.
    this.#keys = keys.map(({ name, notBefore, issueUntil, acceptUntil }) => ({ name, notBefore, issueUntil, acceptUntil }))
    return { keys, timed: true, refreshAt: nextChange(this.#keys, now) }
  }

  rotate (now: number): void {
    let start = now
    for (const key of this.#keys) {
      if (key.notBefore > now) {
        Object.assign(key, timesFrom(start, this.#interval, this.#lifetime))
        start = key.issueUntil
      } else if (now < key.issueUntil) {
        // What issued until now accepts for as long as its last ticket lives.
        Object.assign(key, timesUntil(now, this.#lifetime))
      }
    }
    // Only rotating by hand, again and again, fills the ring: the oldest keys go.
    this.#keys.splice(0, Math.max(0, this.#keys.length + 1 - MAX_KEYS))
  }

  /** The clock was set back, or past every key: what has issued goes on accepting, what has not is dropped, a new timetable starts. */
  #startAgain (now: number): void {
    const issued = this.#keys.filter((key) => key.notBefore <= this.#lastNow)
    for (const key of issued) {
      key.acceptUntil = Math.min(key.acceptUntil, now + this.#lifetime)
      key.notBefore = key.issueUntil = -Infinity
    }
    this.#keys = [...issued, this.#make(now)]
  }

  #extend (now: number): void {
    const ahead = keysAhead(this.#interval)
    for (;;) {
      const last = this.#keys.at(-1) as SourceKey
      if (this.#keys.filter((key) => key.notBefore > now).length >= ahead) return
      this.#keys.push(this.#make(last.issueUntil))
    }
  }

  #make (start: number): SourceKey {
    const bytes = randomFillSync(this.#arena.allocate(64))
    return {
      name: randomFillSync(Buffer.alloc(NAME_LENGTH)),
      aesKey: bytes.subarray(0, 32),
      hmacKey: bytes.subarray(32),
      ...timesFrom(start, this.#interval, this.#lifetime)
    }
  }
}
