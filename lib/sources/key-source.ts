import type { SourceKey } from '../keys/key.js'

/** All keys of a source at one moment. They replace the keys of the ring. */
export interface SourceKeys {
  /** 1 to 256 keys */
  keys: SourceKey[]
  /**
   * `true`: the keys rotate by their times. `false`: the keys rotate only when the source returns another list. Such a
   * list is stale if it does not change for two rotation intervals.
   */
  timed: boolean
  /** When to call `load` again, unless it is called earlier; ms since 1970. */
  refreshAt?: number
  /** How long each key issues, ms, if that is not the option `rotationInterval`. */
  rotationInterval?: number
  /** Warnings for the log about keys that are valid. They must not contain key material. */
  warnings?: string[]
}

/** Where keys come from. Implement it to load keys from your own store. Only `type` and `load` are required. */
export interface KeySource {
  /** a word for logs, status and the metrics' `source` label */
  readonly type: string
  /** `true`: the source makes its own keys. Scheduled loads are then not counted as reloads. */
  readonly makesKeys?: boolean
  /** How often to call `load`, ms. For stores that do not report changes. */
  readonly pollInterval?: number
  /**
   * Returns all keys at `now` (ms since 1970). Returns `null` if the keys have not changed, except at the first call.
   *
   * Called at the start, at `refreshAt`, every `pollInterval`, after `changed`, on `reload()`, and when no key can
   * issue. A call that has not ended after 10 s has failed. The next call may overlap with it, and keys that arrive
   * late are erased. Other calls do not overlap.
   *
   * If `load` throws, the manager logs and counts the error, keeps the last good keys, and tries again. The error
   * message must not contain key material.
   */
  load (now: number): SourceKeys | null | Promise<SourceKeys | null>
  /**
   * Called if the manager could not use the keys of the last `load`, for example because all of them have expired. The
   * manager keeps its previous keys. The next `load` must return its keys, not `null`, even if they have not changed:
   * the manager then checks them again. Only a source that returns `null` for unchanged keys needs this method.
   */
  refused? (): void
  /**
   * Called once, after the first `load`. Call `changed` when the keys may have changed: the manager then loads again
   * soon. Extra calls of `changed` do no harm.
   */
  watch? (changed: () => void): void | Promise<void>
  /** Makes the next key the current key at `now` (ms since 1970). Omit it if the source does not make its own keys. */
  rotate? (now: number): void | Promise<void>
  /**
   * Drops every key made so far at `now`, the next ones too, because others may know them. The next `load` returns new
   * keys. Called for `rotate({ revoke: true })`.
   */
  replaceKeys? (now: number): void | Promise<void>
  /** Closes files and connections, stops timers, and erases secrets. */
  close? (): void | Promise<void>
}
