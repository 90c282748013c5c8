import { dirname, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { SourceError } from '../util/errors.js'
import { Mutex } from '../util/mutex.js'
import { joinKeySets, parseKeys, type KeyFormat } from '../keys/formats/index.js'
import type { KeySet } from '../keys/key.js'
import { SecretArena } from '../native/secret-memory.js'
import { DirectoryWatch } from './directory-watch.js'
import { FileSafety } from './file-safety.js'
import { digestOf, readKeyDirectory, readKeyFile, type KeyFile } from './read-key-files.js'
import type { KeySource, SourceKeys } from './key-source.js'

/** How files are looked at; the defaults are for everything but tests. */
export interface WatchSettings {
  /** for file systems that send no events, ms */
  pollInterval?: number
  /** what has just changed may be half of it: it is taken once two reads this far apart are equal, ms; 0: at once */
  settling?: number
  /** a file that goes on changing for longer is an error, ms */
  longestSettling?: number
}

/** What was read: files, or the error that reading them ended in. */
interface Reading {
  files: KeyFile[]
  error?: Error
  /** tells one outcome from another */
  digest: string
}

/** What the file and the directory source share: reading, waiting for half-written files, watching. */
abstract class WatchedSource implements KeySource {
  abstract readonly type: string
  readonly pollInterval: number
  readonly #settling: number
  readonly #longestSettling: number
  readonly #format: KeyFormat | undefined
  readonly #path: string
  readonly #directory: string
  readonly #arena = new SecretArena()
  readonly #keyArena = new SecretArena()
  readonly #mutex = new Mutex()
  #loaded: string | undefined
  #warnings: string[] = []
  #watch: DirectoryWatch | undefined

  /** @param path of the keys, absolute @param directory to watch, absolute */
  constructor (
    path: string, directory: string, format: KeyFormat | undefined,
    { pollInterval = 10_000, settling = 250, longestSettling = 8000 }: WatchSettings
  ) {
    this.#path = path
    this.#directory = directory
    this.#format = format
    this.pollInterval = pollInterval
    this.#settling = settling
    this.#longestSettling = longestSettling
  }

  protected abstract read (allocate: (bytes: number) => Buffer): Promise<KeyFile[]>

  /** All or nothing: `null` unless every file was read, is new and has keys that are right. */
  async load (): Promise<SourceKeys | null> {
    // The manager stops waiting for a load that takes too long. The next load must not use its memory.
    return await this.#mutex.runExclusive(async () => await this.#load())
  }

  refused (): void {
    this.#loaded = undefined
  }

  async #load (): Promise<SourceKeys | null> {
    // A parent that was renamed, or a link to another directory: the watch reports neither.
    this.#watch?.check()
    try {
      const { files, error, digest } = await this.#readSettled()
      if (error !== undefined) throw error
      if (digest === this.#loaded) return null
      const { keys, timed } = this.#parse(files)
      this.#loaded = digest
      return { keys, timed, warnings: this.#newWarnings(files) }
    } finally {
      this.#arena.clear()
    }
  }

  /** Watches the directory, not the file: after a rename, or Kubernetes' swap of the `..data` link, a watch on the file is blind. */
  async watch (changed: () => void): Promise<void> {
    this.#watch = new DirectoryWatch(this.#directory, changed)
    await this.#watch.open()
  }

  async close (): Promise<void> {
    await this.#watch?.close()
  }

  /** Reads; again, while the outcome is new, until two readings agree. */
  async #readSettled (): Promise<Reading> {
    const end = performance.now() + this.#longestSettling
    let reading = await this.#readOnce()
    while (this.#mayChange(reading)) {
      if (performance.now() > end) throw new SourceError(`${this.#path} goes on changing while it is read`)
      const { digest } = reading
      await sleep(this.#settling)
      reading = await this.#readOnce()
      if (reading.digest === digest) break
    }
    return reading
  }

  async #readOnce (): Promise<Reading> {
    this.#arena.clear()
    try {
      const files = await this.read(this.#arena.allocate)
      return { files, digest: digestOf(files) }
    } catch (error) {
      return { files: [], error: error as Error, digest: (error as Error).message }
    }
  }

  #mayChange ({ files, digest }: Reading): boolean {
    if (this.#settling === 0) return false
    // Errors, and whatever is new while keys are at work, are worth a second look: a file that vanished may be back, links may point
    // elsewhere.
    if (this.#loaded !== undefined || files.length === 0) return digest !== this.#loaded
    // A time in the future says nothing: as for a fresh file.
    return files.some(({ modified }) => modified > Date.now() - this.#settling)
  }

  #parse (files: readonly KeyFile[]): KeySet {
    // What the last load gave is in the ring.
    this.#keyArena.clear()
    try {
      const sets = files.map(({ path, data }) => parseKeys(data, this.#format, path, this.#keyArena.allocate))
      const [only] = sets
      return sets.length === 1 && only !== undefined ? only : joinKeySets(sets, this.#format ?? 'json', this.#path)
    } catch (error) {
      this.#keyArena.clear()
      throw error
    }
  }

  /** Reports each warning once, not at every rotation. */
  #newWarnings (files: readonly KeyFile[]): string[] {
    const before = this.#warnings
    this.#warnings = files.flatMap(({ warnings }) => warnings)
    return this.#warnings.filter((warning) => !before.includes(warning))
  }
}

/** A watched key file. */
export class FileSource extends WatchedSource {
  readonly type = 'file'
  readonly #file: string
  readonly #strict: boolean

  /** @param strict refuse a file that it would warn of otherwise */
  constructor (path: string, format: KeyFormat | undefined, strict: boolean, settings: WatchSettings = {}) {
    const file = resolve(path)
    super(file, dirname(file), format, settings)
    this.#file = file
    this.#strict = strict
  }

  protected async read (allocate: (bytes: number) => Buffer): Promise<KeyFile[]> {
    return [await readKeyFile(this.#file, new FileSafety(this.#strict), allocate)]
  }
}

/** A watched directory of key files, as Kubernetes mounts a Secret. */
export class DirectorySource extends WatchedSource {
  readonly type = 'directory'
  readonly #directory: string
  readonly #strict: boolean

  /** @param strict refuse files that it would warn of otherwise */
  constructor (path: string, format: KeyFormat | undefined, strict: boolean, settings: WatchSettings = {}) {
    const directory = resolve(path)
    super(directory, directory, format, settings)
    this.#directory = directory
    this.#strict = strict
  }

  protected async read (allocate: (bytes: number) => Buffer): Promise<KeyFile[]> {
    return await readKeyDirectory(this.#directory, this.#strict, allocate)
  }
}
