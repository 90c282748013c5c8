import { stat } from 'node:fs/promises'
import { basename, resolve } from 'node:path'
import { watch, type FSWatcher } from 'chokidar'
import { Mutex } from '../util/mutex.js'

/** One change causes several events. Events within this time are handled together, ms. */
const DEBOUNCE_MS = 50

/** How often to check for a missing directory, ms. */
const MISSING_RETRY_MS = 100

/**
 * Watches the directory at a path. A watch of the operating system stays with a directory that is moved. If another
 * directory takes its place at the path, this class watches the new directory.
 */
export class DirectoryWatch {
  readonly #directory: string
  readonly #changed: () => void
  readonly #mutex = new Mutex()
  #watcher: FSWatcher | undefined
  /** identity of the watched directory; `undefined` if the directory may be gone */
  #identity: string | undefined
  #event: NodeJS.Timeout | undefined
  #retry: NodeJS.Timeout | undefined
  /** resolves the wait for a watch that is being set up */
  #ready: (() => void) | undefined
  #closed = false

  /**
   * @param directory absolute path
   * @param changed called after changes in the directory, and sometimes without a change
   */
  constructor (directory: string, changed: () => void) {
    this.#directory = directory
    this.#changed = changed
  }

  /** Watches the directory. Resolves when the watch works, or when it cannot be set up. */
  async open (): Promise<void> {
    await this.#mutex.runExclusive(async () => { await this.#follow() })
  }

  /** Checks which directory is at the path, and watches that directory if it is not the watched one. */
  check (): void {
    this.open().catch(() => {})
  }

  async close (): Promise<void> {
    this.#closed = true
    this.#ready?.()
    clearTimeout(this.#event)
    clearTimeout(this.#retry)
    await this.#stop()
  }

  async #follow (): Promise<void> {
    const identity = await identityOf(this.#directory)
    if (this.#closed || (identity !== undefined && identity === this.#identity)) return
    this.#identity = identity
    if (identity === undefined) {
      clearTimeout(this.#retry)
      this.#retry = setTimeout(() => { this.check() }, MISSING_RETRY_MS).unref()
      return
    }
    const stopped = this.#stop()
    await this.#start()
    await stopped
    // The directory may have changed before the watch worked.
    this.#soon()
  }

  async #start (): Promise<void> {
    // Watch only the directory itself. It may have many files, and links that lead elsewhere.
    const ignored = (path: string): boolean => resolve(path) !== this.#directory
    const watcher = this.#watcher = watch(this.#directory, { depth: 0, ignored, ignoreInitial: true, persistent: false, atomic: false })
    watcher.on('all', () => { this.#soon() }).on('raw', (_event: string, name: string | null) => {
      // The system reports the removal of the directory with the directory's own name. Forget the identity then: a new
      // directory can get the same inode number.
      if (name === basename(this.#directory)) this.#identity = undefined
      this.#soon()
    })
    await new Promise<void>((resolve) => {
      this.#ready = resolve
      // Some file systems send no events, and the system can run out of watches. The source is then still polled.
      watcher.once('ready', () => resolve()).on('error', () => resolve())
    })
  }

  #soon (): void {
    if (this.#closed) return
    this.#event ??= setTimeout(() => {
      this.#event = undefined
      this.#changed()
      this.check()
    }, DEBOUNCE_MS).unref()
  }

  async #stop (): Promise<void> {
    const watcher = this.#watcher
    this.#watcher = undefined
    const closed = watcher?.close()
    // close() removes every listener, but pending operations can still emit 'error'.
    watcher?.removeAllListeners().on('error', () => {})
    await closed
  }
}

/** Returns the device and inode numbers, which identify a directory; `undefined` if there is no directory. */
async function identityOf (directory: string): Promise<string | undefined> {
  try {
    const { dev, ino } = await stat(directory)
    return `${dev} ${ino}`
  } catch {
    return undefined
  }
}
