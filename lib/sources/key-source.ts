import type { SourceKey } from '../keys/key.js'

/** All the keys of a source at a moment: they replace what the ring held. */
export interface SourceKeys {
  /** 1 to 256 keys */
  keys: SourceKey[]
  /** Whether the keys' times say when they change places; if not, the list's order does, until the source says something new. */
  timed: boolean
  /** When `load` should be called again, ms since 1970, if nothing else happens before. */
  refreshAt?: number
  /** Something that is right but that the operator should know, for the log: no key material. */
  warnings?: string[]
}

/**
 * Where keys come from. Write your own for a store of your own: only `type` and `load` are required.
 */
export interface KeySource {
  /** a word for logs, status and the metrics' `source` label */
  readonly type: string
  /** `true`: the source makes its own keys, and loading them on time is no reload to be counted */
  readonly makesKeys?: boolean
  /** How often to `load` whether or not anything happened, ms: for stores that tell of no changes */
  readonly pollInterval?: number
  /**
   * All the keys as they should be at `now` (ms since 1970); `null` for "as they were", which the first time they can't be. Called at
   * the start, at `refreshAt`, after `changed`, on `reload()` and when no key could issue; not again before the last call has ended. What
   * it
   * throws is logged, counted and tried again, and the last good keys stay: messages must not have key material in them.
   */
  load (now: number): SourceKeys | null | Promise<SourceKeys | null>
  /** Called once, after the first `load`: `changed` asks the manager to load again, soon. It may be called too often. */
  watch? (changed: () => void): void | Promise<void>
  /** Makes the next key the issuing one at `now`; sources that don't make their own keys leave it out. */
  rotate? (now: number): void | Promise<void>
  /** Lets go of files, connections, timers and secrets. */
  close? (): void | Promise<void>
}
