import type { KeyState, TicketKey } from '../keys/key.js'
import { keyId, MAX_KEYS } from '../keys/key.js'
import { checkKeys } from '../keys/validate.js'
import { currentKey, nextRotation, rotationsBetween, stateOf } from '../keys/timetable.js'
import { WeakKeyError } from '../util/errors.js'
import type { HeldKey, NativeManager } from '../native/types.js'
import { eraseKeys } from '../native/secret-memory.js'
import type { SourceKeys } from '../sources/key-source.js'
import type { SourceKey } from '../keys/key.js'

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
   * Checks a source's keys and makes them the ring, all or none; their buffers are zeroed either way. Keys that have expired are left
   * out. Throws FST_TICKET_KEYS_WEAK_KEY.
   */
  replace ({ keys }: SourceKeys, now: number, where: string): void {
    try {
      if (keys.length === 0) throw new WeakKeyError(`${where}: holds no key`)
      const live = keys.filter((key) => now < key.acceptUntil)
      this.#check(live, where)
      const expired = this.#expiredAfter(keys, live, now)
      this.#native.setRing(live, [...expired.values()])
      this.#expired = expired
      this.#keys = live.map(({ name, notBefore, issueUntil, acceptUntil }) =>
        ({ name: Buffer.from(name), notBefore, issueUntil, acceptUntil }))
    } finally {
      eraseKeys(keys)
    }
  }

  /** Erases keys whose time is over; true if there were any. */
  dropExpired (now: number): boolean {
    const keys = this.#keys
    if (keys.every((key) => now < key.acceptUntil)) return false
    this.#expired = this.#expiredAfter(keys, keys.filter((key) => now < key.acceptUntil), now)
    this.#keys = keys.filter((key) => now < key.acceptUntil)
    this.#native.setRing(this.#keys, [...this.#expired.values()])
    return true
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

  /** The next moment at which a key changes its state; Infinity if none does. */
  nextChange (now: number): number {
    const moments = this.keys.flatMap((key) => [key.notBefore, key.issueUntil, key.acceptUntil])
    return Math.min(...moments.filter((moment) => moment > now), Infinity)
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

  #check (keys: SourceKey[], where: string): void {
    const given = keys.filter((key): key is TicketKey => key.aesKey !== undefined && key.hmacKey !== undefined)
    if (given.length > 0) checkKeys(given, where)
    if (keys.length > MAX_KEYS) throw new WeakKeyError(`${where}: holds ${keys.length} keys, more than ${MAX_KEYS}`)
    const names = new Set(keys.map((key) => key.name.toString('hex')))
    if (names.size < keys.length) throw new WeakKeyError(`${where}: two keys have the same name`)
    const held = new Set(this.#keys.map((key) => key.name.toString('hex')))
    for (const key of keys) {
      if ((key.aesKey === undefined || key.hmacKey === undefined) && !held.has(key.name.toString('hex'))) {
        throw new WeakKeyError(`${where}: key ${keyId(key.name)} has no bytes, and none are held under its name`)
      }
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

  override dropExpired (): boolean {
    return false
  }

  override clear (): void {}
}
