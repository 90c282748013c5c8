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

/** How files are read. Only tests change the defaults. */
export interface WatchSettings {
  /** how often to read the files, ms: some file systems send no events */
  pollInterval?: number
  /**
   * ms between two reads of a changed file, which may be half-written; the file is used when both are equal; 0: at once
   */
  settling?: number
  /** a file that still changes after this many ms is an error */
  longestSettling?: number
}

/** The result of one read: files, or an error. */
interface Reading {
  files: KeyFile[]
  error?: Error
  /** equal for equal results */
  digest: string
}

/** The common part of the file and the directory source: reads and watches files, and waits for half-written files. */
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

  /**
   * Returns the keys of all files, or `null` if the files have not changed. Throws if a file cannot be read or has
   * wrong keys.
   */
  async load (): Promise<SourceKeys | null> {
    // The manager stops waiting for a load that takes too long. The next load must not use the memory of that load.
    return await this.#mutex.runExclusive(async () => await this.#load())
  }

  refused (): void {
    this.#loaded = undefined
  }

  async #load (): Promise<SourceKeys | null> {
    // The watch reports neither a renamed parent directory nor a link that leads to another directory.
    this.#watch?.check()
    try {
      const { files, error, digest } = await this.#readSettled()
      if (error !== undefined) throw error
      if (digest === this.#loaded) return null
      const { keys, timed } = this.#parse(files)
      this.#loaded = digest
      return { keys, timed, warnings: files.flatMap(({ warnings }) => warnings) }
    } finally {
      this.#arena.clear()
    }
  }

  /**
   * Watches the directory, not the file. A watch on the file would report nothing after a rename, or after Kubernetes
   * swaps the `..data` link.
   */
  async watch (changed: () => void): Promise<void> {
    this.#watch = new DirectoryWatch(this.#directory, changed)
    await this.#watch.open()
  }

  async close (): Promise<void> {
    await this.#watch?.close()
  }

  /**
   * Reads the files. If the result is new, reads again until two results in a row are equal. Throws
   * FST_TICKET_KEYS_SOURCE if the files still change after `longestSettling` ms.
   */
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
    // Read again after an error, and after a change while keys are in use. A missing file may be back, and a link may
    // lead elsewhere.
    if (this.#loaded !== undefined || files.length === 0) return digest !== this.#loaded
    // A modification time in the future has no meaning, so the file is read again like a new file.
    return files.some(({ modified }) => modified > Date.now() - this.#settling)
  }

  #parse (files: readonly KeyFile[]): KeySet {
    // The ring has its own copy of the keys of the last load.
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
}

/** A watched key file. */
export class FileSource extends WatchedSource {
  readonly type = 'file'
  readonly #file: string
  readonly #strict: boolean

  /** @param strict throw if the file is unsafe, instead of warning */
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

  /** @param strict throw if a file is unsafe, instead of warning */
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
