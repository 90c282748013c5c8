import type { KeyTimes } from '../keys/key.js'

/**
 * A key as a source gives it. Its buffers are the manager's from then on and are zeroed once the ring has them: give
 * copies. A key whose name is in the ring already may leave its bytes out.
 */
export interface SourceKey extends KeyTimes {
  /** 16 bytes */
  name: Buffer
  /** 16 or 32 bytes */
  aesKey?: Buffer
  /** as long as `aesKey` */
  hmacKey?: Buffer
}

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
   * The keys as they should be at `now` (ms since 1970); `null` for "as they were". Called at the start, at `refreshAt`, after
   * `changed`, on `reload()` and when no key could issue. What it throws is logged and counted; the last good keys stay.
   */
  load (now: number): SourceKeys | null | Promise<SourceKeys | null>
  /** Called once, after the first `load`: `changed` asks the manager to load again. */
  watch? (changed: () => void): void | Promise<void>
  /** Makes the next key the issuing one at `now`; sources that don't make their own keys leave it out. */
  rotate? (now: number): void | Promise<void>
  /** Lets go of files, connections, timers and secrets. */
  close? (): void | Promise<void>
}
