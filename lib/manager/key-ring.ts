import { keyId, type KeyState, type SourceKey } from '../keys/key.js'
import { checkKeys } from '../keys/validate.js'
import { currentKey, nextRotation, rotationsBetween, stateOf } from '../keys/timetable.js'
import { SourceError, WeakKeyError } from '../util/errors.js'
import type { HeldKey, NativeManager } from '../native/types.js'
import { eraseKeys } from '../native/secret-memory.js'
import type { SourceKeys } from '../sources/key-source.js'

/** A key as status and metrics show it. Times are ms since 1970; `null`: always, or for ever. */
export interface KeyStatus {
  /** first 8 hex digits of the name */
  id: string
  state: KeyState
  notBefore: number | null
  issueUntil: number | null
  acceptUntil: number | null
}

/** Names of keys that have expired are kept this many long, so that their tickets are told from those of unknown keys. */
const MAX_EXPIRED = 256

/** JavaScript's side of the ring: names and times. The bytes are in the addon alone. */
export class KeyRing {
  readonly #native: NativeManager
  #keys: HeldKey[] = []
  #expired = new Map<string, Buffer>()

  constructor (native: NativeManager) {
    this.#native = native
  }

  get keys (): readonly HeldKey[] {
    return this.#keys
  }

  /**
   * Checks a source's keys and makes them the ring, all or none. Returns whether they differ from the keys before. Leaves out expired keys.
   * Zeroes the source's buffers in any case. Throws FST_TICKET_KEYS_WEAK_KEY, and FST_TICKET_KEYS_SOURCE if every key has expired.
   */
  replace ({ keys }: SourceKeys, now: number, where: string): boolean {
    try {
      this.dropExpired(now)
      const live = keys.filter((key) => now < key.acceptUntil)
      if (live.length === 0 && keys.length > 0) throw new SourceError(`${where} gave only keys that have expired (${keys.length})`)
      checkKeys(live, where)
      this.#checkHeld(live, where)
      const expired = this.#expiredAfter(keys, live, now)
      const changed = this.#setRing(live, expired, where)
      this.#expired = expired
      this.#keys = live.map(({ name, notBefore, issueUntil, acceptUntil }) =>
        ({ name: Buffer.from(name), notBefore, issueUntil, acceptUntil }))
      return changed
    } finally {
      eraseKeys(keys)
    }
  }

  /** Erases expired keys. If the system has no memory for the smaller ring, the next call tries again: the addon refuses those keys. */
  dropExpired (now: number): void {
    const live = this.#keys.filter((key) => now < key.acceptUntil)
    if (live.length === this.#keys.length) return
    const expired = this.#expiredAfter(this.#keys, live, now)
    try {
      this.#native.setRing(live, [...expired.values()])
    } catch {
      return
    }
    this.#expired = expired
    this.#keys = live
  }

  /** Erases every key: no ticket is issued or accepted any more. */
  clear (): void {
    this.#keys = []
    this.#expired.clear()
    this.#native.setRing([], [])
  }

  current (now: number): HeldKey | undefined {
    return currentKey(this.keys, now)
  }

  nextRotation (now: number): number | undefined {
    return nextRotation(this.keys, now)
  }

  rotationsBetween (from: number, to: number): number {
    return rotationsBetween(this.keys, from, to)
  }

  status (now: number): KeyStatus[] {
    const { keys } = this
    const current = currentKey(keys, now)
    const shown = (moment: number): number | null => Number.isFinite(moment) ? moment : null
    return keys.flatMap((key) => {
      const state = stateOf(key, current, now)
      if (state === undefined) return []
      const { notBefore, issueUntil, acceptUntil } = key
      // The constant times of lists without times begin in 1970: nothing to show.
      const begins = notBefore === 0 ? null : shown(notBefore)
      return [{ id: keyId(key.name), state, notBefore: begins, issueUntil: shown(issueUntil), acceptUntil: shown(acceptUntil) }]
    })
  }

  #checkHeld (keys: SourceKey[], where: string): void {
    const unknown = keys.find((key) => key.aesKey === undefined && !this.#keys.some(({ name }) => name.equals(key.name)))
    if (unknown === undefined) return
    throw new WeakKeyError(`${where}: key ${keyId(unknown.name)} has no bytes, and the manager does not hold this key`)
  }

  #setRing (keys: SourceKey[], expired: ReadonlyMap<string, Buffer>, where: string): boolean {
    try {
      return this.#native.setRing(keys, [...expired.values()])
    } catch (cause) {
      throw new SourceError(`${where}: ${(cause as Error).message}`, { cause })
    }
  }

  #expiredAfter (keys: readonly HeldKey[], live: readonly HeldKey[], now: number): Map<string, Buffer> {
    const expired = new Map(this.#expired)
    for (const key of [...this.#keys, ...keys]) {
      if (now >= key.acceptUntil) expired.set(key.name.toString('hex'), Buffer.from(key.name))
    }
    for (const key of live) expired.delete(key.name.toString('hex'))
    for (const name of [...expired.keys()].slice(0, Math.max(0, expired.size - MAX_EXPIRED))) expired.delete(name)
    return expired
  }
}

/** A ring that another thread owns: shown as it is, and never changed. The source that goes with it gives no keys. */
export class ThreadRing extends KeyRing {
  readonly #native: NativeManager

  constructor (native: NativeManager) {
    super(native)
    this.#native = native
  }

  override get keys (): readonly HeldKey[] {
    return this.#native.keyTimes()
  }

  override dropExpired (): void {}

  override clear (): void {}
}
