import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { watch, type FSWatcher } from 'chokidar'
import { SourceError } from '../errors.js'
import { joinKeySets, parseKeys, type KeyFormat } from '../keys/formats/index.js'
import type { KeySet } from '../keys/key.js'
import { secretArena } from '../secret.js'
import { digestOf, eraseFiles, readKeyDirectory, readKeyFile, type KeyFile } from './read-keys.js'
import type { KeySource, SourceKeys } from './source.js'

/** For file systems that send no events, ms. */
const POLL_INTERVAL = 10_000
/** What was written this recently may be half of it: it is taken once two reads this far apart are equal, ms. */
const SETTLING = 250
/** A file that never stops changing is an error, ms. */
const LONGEST_SETTLING = 10_000

/** What the file and the directory source share: reading, waiting for half-written files, watching. */
abstract class WatchedSource implements KeySource {
  abstract readonly type: string
  readonly pollInterval: number
  readonly #path: string
  readonly #watched: string
  readonly #format: KeyFormat | undefined
  #digest: string | undefined
  #watcher: FSWatcher | undefined
  #closed = false

  constructor (path: string, watched: string, format: KeyFormat | undefined, pollInterval: number) {
    this.#path = path
    this.#watched = watched
    this.#format = format
    this.pollInterval = pollInterval
  }

  protected abstract read (): Promise<KeyFile[]>

  async load (): Promise<SourceKeys | null> {
    const files = await this.#readSettled()
    try {
      const digest = digestOf(files)
      if (digest === this.#digest) return null
      const { keys, timed } = this.#parse(files)
      this.#digest = digest
      return { keys, timed, warnings: files.flatMap(({ warnings }) => warnings) }
    } finally {
      eraseFiles(files)
    }
  }

  /** Watches the directory, not the file: after a rename, or Kubernetes' swap of the `..data` link, a watch on the file is blind. */
  async watch (changed: () => void): Promise<void> {
    let pending: NodeJS.Timeout | undefined
    const soon = (): void => {
      clearTimeout(pending)
      pending = setTimeout(() => { if (!this.#closed) changed() }, SETTLING / 5).unref()
    }
    const watcher = watch(this.#watched, { depth: 0, ignoreInitial: true, persistent: false })
    this.#watcher = watcher
    watcher.on('all', soon).on('raw', soon)
    // The periodic read goes on without it.
    watcher.on('error', () => {})
    await new Promise<void>((resolve) => { watcher.once('ready', () => resolve()) })
  }

  async close (): Promise<void> {
    this.#closed = true
    await this.#watcher?.close()
  }

  /** Reads again, while the content is new and was written a moment ago, until two reads agree. */
  async #readSettled (): Promise<KeyFile[]> {
    let files = await this.read()
    for (let waited = 0; this.#isFresh(files); waited += SETTLING) {
      if (waited >= LONGEST_SETTLING) {
        eraseFiles(files)
        throw new SourceError(`${this.#path} goes on changing while it is read`)
      }
      const digest = digestOf(files)
      eraseFiles(files)
      await sleep(SETTLING)
      files = await this.read()
      if (digestOf(files) === digest) break
    }
    return files
  }

  #isFresh (files: KeyFile[]): boolean {
    // A time in the future says nothing: wait as for a fresh file.
    const young = files.some(({ modified }) => modified > Date.now() - SETTLING)
    // With something loaded already, a change is worth a second look whatever its time: links may be swapped between two files.
    return digestOf(files) !== this.#digest && (young || this.#digest !== undefined)
  }

  #parse (files: readonly KeyFile[]): KeySet {
    const arena = secretArena()
    const sets = files.map(({ path, data }) => parseKeys(data, this.#format, path, arena))
    const [only] = sets
    if (sets.length === 1 && only !== undefined) return only
    return joinKeySets(sets, this.#format ?? 'json', this.#path)
  }
}

/** A watched key file. */
export class FileSource extends WatchedSource {
  readonly type = 'file'
  readonly #file: string
  readonly #strict: boolean

  /** @param strict refuse a file that others can read @param pollInterval ms */
  constructor (path: string, format: KeyFormat | undefined, strict: boolean, pollInterval = POLL_INTERVAL) {
    super(path, dirname(path), format, pollInterval)
    this.#file = path
    this.#strict = strict
  }

  protected async read (): Promise<KeyFile[]> {
    return [await readKeyFile(this.#file, this.#strict)]
  }
}

/** A watched directory of key files, as Kubernetes mounts a Secret. */
export class DirectorySource extends WatchedSource {
  readonly type = 'directory'
  readonly #directory: string
  readonly #strict: boolean

  /** @param strict refuse files that others can read @param pollInterval ms */
  constructor (path: string, format: KeyFormat | undefined, strict: boolean, pollInterval = POLL_INTERVAL) {
    super(path, path, format, pollInterval)
    this.#directory = path
    this.#strict = strict
  }

  protected async read (): Promise<KeyFile[]> {
    return await readKeyDirectory(this.#directory, this.#strict)
  }
}
