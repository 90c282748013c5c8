import { keyId, type KeyState, type SourceKey } from '../keys/key.js'
import { checkKeys } from '../keys/validate.js'
import { currentKey, nextRotation, rotationsBetween, stateOf } from '../keys/timetable.js'
import { SourceError, WeakKeyError } from '../util/errors.js'
import type { HeldKey, NativeManager } from '../native/types.js'
import { eraseKeys } from '../native/secret-memory.js'
import type { SourceKeys } from '../sources/key-source.js'

/** A key as status() and the metrics show it. Times are ms since 1970. `null` means no limit. */
export interface KeyStatus {
  /** first 8 hex digits of the name */
  id: string
  state: KeyState
  notBefore: number | null
  issueUntil: number | null
  acceptUntil: number | null
}

/**
 * How many names of expired keys to keep. With the name, a ticket is rejected as `expired_key`, not as `unknown_key`.
 */
const MAX_EXPIRED = 256

/** The key ring as JavaScript sees it: names and times. Only the addon has the key bytes. */
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
   * Checks a source's keys. Replaces the keys of the ring with them, except expired keys. If it throws, the ring keeps
   * its keys. In any case, zeroes the source's buffers. Returns whether the new keys differ from the previous keys.
   *
   * @throws FST_TICKET_KEYS_WEAK_KEY for a weak key
   * @throws FST_TICKET_KEYS_SOURCE if every key has expired, or if the addon refuses the keys
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

  /**
   * Erases expired keys. If the system has no memory for the smaller ring, the keys stay until the next call. The addon
   * rejects tickets of expired keys in any case.
   */
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

  /** Erases every key. From then on, no ticket is issued or accepted. */
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
      // A key of a list without times has the `notBefore` 0 of ISSUES. It is not a real time, so do not show it.
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

/** The ring of another thread's manager, which is read-only here. The source of such a ring never returns keys. */
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
