import { randomFillSync } from 'node:crypto'
import type { KeySource, SourceKeys } from './key-source.js'
import { MAX_KEYS, NAME_LENGTH, type SourceKey } from '../keys/key.js'
import { currentKey } from '../keys/timetable.js'
import { SecretArena } from '../native/secret-memory.js'

/** How far ahead next keys are held at least, so that another host or a late timer never meets a key for the first time when it issues. */
export const AHEAD_INTERVALS = 3
export const AHEAD_MS = 30_000

/** Keys that a source with this timetable holds at the most, to be checked against MAX_KEYS. */
export function keysHeld (interval: number, lifetime: number): number {
  return Math.ceil(lifetime / interval) + 2 + keysAhead(interval)
}

/** Next keys held. */
export function keysAhead (interval: number): number {
  return Math.max(AHEAD_INTERVALS, Math.ceil(AHEAD_MS / interval))
}

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
    const oldest = this.#keys.find((key) => key.issueUntil > key.notBefore)
    if (oldest !== undefined) oldest.notBefore = -Infinity
    const keys = this.#keys
    // The ring has the bytes from here on, and this object no longer does.
    this.#keys = keys.map(({ name, notBefore, issueUntil, acceptUntil }) => ({ name, notBefore, issueUntil, acceptUntil }))
    return { keys, timed: true, refreshAt: this.#nextChange(now) }
  }

  rotate (now: number): void {
    let start = now
    for (const key of this.#keys) {
      if (key.notBefore > now) {
        Object.assign(key, this.#beginningAt(start))
        start = key.issueUntil
      } else if (now < key.issueUntil) {
        // What issued until now accepts for as long as its last ticket lives.
        Object.assign(key, this.#endingAt(now))
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

  #beginningAt (start: number): { notBefore: number, issueUntil: number, acceptUntil: number } {
    return { notBefore: start, ...this.#endingAt(start + this.#interval) }
  }

  #endingAt (end: number): { issueUntil: number, acceptUntil: number } {
    return { issueUntil: end, acceptUntil: end + this.#lifetime }
  }

  #make (start: number): SourceKey {
    const bytes = randomFillSync(this.#arena.allocate(64))
    return {
      name: randomFillSync(Buffer.alloc(NAME_LENGTH)),
      aesKey: bytes.subarray(0, 32),
      hmacKey: bytes.subarray(32),
      ...this.#beginningAt(start)
    }
  }

  #nextChange (now: number): number {
    let next = Infinity
    for (const key of this.#keys) {
      for (const moment of [key.notBefore, key.issueUntil, key.acceptUntil]) {
        if (moment > now && moment < next) next = moment
      }
    }
    return next
  }
}
