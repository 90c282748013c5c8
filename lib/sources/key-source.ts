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
   * Returns all keys as they should be at `now` (ms since 1970). `null` says that they are as before: not allowed at the first call.
   *
   * Called at the start, at `refreshAt`, after `changed`, on `reload()`, and when no key can issue. Calls do not overlap, unless a call has
   * not ended after 10 s: then the load has failed, and its keys are erased when they arrive.
   *
   * An error is logged and counted, the last good keys stay, and the manager tries again. Its message must not hold key material.
   */
  load (now: number): SourceKeys | null | Promise<SourceKeys | null>
  /** Called when the manager could not use the keys of the last `load`. The next `load` returns its keys, even if they are the same. */
  refused? (): void
  /** Called once, after the first `load`: `changed` asks the manager to load again, soon. It may be called too often. */
  watch? (changed: () => void): void | Promise<void>
  /** Makes the next key the issuing one at `now`; sources that don't make their own keys leave it out. */
  rotate? (now: number): void | Promise<void>
  /** Lets go of files, connections, timers and secrets. */
  close? (): void | Promise<void>
}
