import { randomFillSync } from 'node:crypto'
import type { KeySource, SourceKeys } from './key-source.js'
import { MAX_KEYS, NAME_LENGTH, type SourceKey } from '../keys/key.js'
import { currentKey, keysAhead, mayIssue, nextChange, timesFrom, timesUntil } from '../keys/timetable.js'
import { SecretArena } from '../native/secret-memory.js'

/** Makes and rotates random keys. This object keeps only their names and times. Only the ring has the bytes. */
export class MemorySource implements KeySource {
  readonly type = 'memory'
  readonly makesKeys = true
  readonly #interval: number
  readonly #lifetime: number
  readonly #arena = new SecretArena()
  #keys: SourceKey[] = []
  #lastNow = -Infinity
  /** the state before the last `load`, for the case that its keys do not get into the ring */
  #previous: { keys: SourceKey[], lastNow: number } = { keys: [], lastNow: -Infinity }

  /** @param interval ms for which a key issues @param lifetime ms for which a ticket can resume */
  constructor (interval: number, lifetime: number) {
    this.#interval = interval
    this.#lifetime = lifetime
  }

  load (now: number): SourceKeys {
    this.#previous = { keys: this.#keys.map((key) => ({ ...key })), lastNow: this.#lastNow }
    try {
      return this.#load(now)
    } catch (error) {
      this.refused()
      throw error
    }
  }

  /** Forgets the new keys of the last `load`: their bytes are lost. */
  refused (): void {
    this.#keys = this.#previous.keys
    this.#lastNow = this.#previous.lastNow
  }

  #load (now: number): SourceKeys {
    // The ring has its own copy of the keys of the last load.
    this.#arena.clear()
    if (now < this.#lastNow - 1000) this.#startAgain(now)
    this.#lastNow = now
    this.#keys = this.#keys.filter((key) => now < key.acceptUntil)
    if (currentKey(this.#keys, now) === undefined) this.#startAgain(now)
    this.#extend(now)
    // A key without a beginning can issue even if the clock is set back.
    const oldest = this.#keys.find(mayIssue)
    if (oldest !== undefined) oldest.notBefore = -Infinity
    const keys = this.#keys
    // Keep only the names and times. The bytes are for the ring.
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
        // The key that issued until now accepts its tickets for one more ticket lifetime.
        Object.assign(key, timesUntil(now, this.#lifetime))
      }
    }
    // Only repeated calls of rotate() can fill the ring. Drop the oldest keys then.
    this.#keys.splice(0, Math.max(0, this.#keys.length + 1 - MAX_KEYS))
  }

  replaceKeys (): void {
    this.#keys = []
  }

  /**
   * Starts a new timetable after the clock was set back, or past every key. Keys that have issued only accept from now
   * on. Keys that have not issued are dropped.
   */
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
