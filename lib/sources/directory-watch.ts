import { stat } from 'node:fs/promises'
import { basename, resolve } from 'node:path'
import { watch, type FSWatcher } from 'chokidar'
import { Mutex } from '../util/mutex.js'

/** Events come in swarms, ms. */
const DEBOUNCE_MS = 50

/** How often to look for a directory that is gone, ms. */
const MISSING_RETRY_MS = 100

/**
 * Watches a directory by its path. The system watches a directory itself, wherever it is moved. If another directory comes to be at the
 * path, this watches the new one.
 */
export class DirectoryWatch {
  readonly #directory: string
  readonly #changed: () => void
  readonly #mutex = new Mutex()
  #watcher: FSWatcher | undefined
  /** of the directory that is watched; `undefined` if it may be gone */
  #identity: string | undefined
  #event: NodeJS.Timeout | undefined
  #retry: NodeJS.Timeout | undefined
  /** ends the wait for a watch that is being set up */
  #ready: (() => void) | undefined
  #closed = false

  /** @param directory absolute @param changed called after each change in the directory; it may have been no change */
  constructor (directory: string, changed: () => void) {
    this.#directory = directory
    this.#changed = changed
  }

  /** Watches the directory. Resolves once it is watched, or cannot be. */
  async open (): Promise<void> {
    await this.#mutex.runExclusive(async () => { await this.#follow() })
  }

  /** Looks whether the path leads to another directory than the watched one, and watches that one then. */
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
    // What changed before the watch was there.
    this.#soon()
  }

  async #start (): Promise<void> {
    // Not what is in the directory: any number of files, and links to elsewhere.
    const ignored = (path: string): boolean => resolve(path) !== this.#directory
    const watcher = this.#watcher = watch(this.#directory, { depth: 0, ignored, ignoreInitial: true, persistent: false, atomic: false })
    watcher.on('all', () => { this.#soon() }).on('raw', (_event: string, name: string | null) => {
      // The system reports the end of the directory under the directory's own name. A new directory may get the same inode number.
      if (name === basename(this.#directory)) this.#identity = undefined
      this.#soon()
    })
    await new Promise<void>((resolve) => {
      this.#ready = resolve
      // Without events, as on some file systems or where the system has no more watches, the source is still read periodically.
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
    // Closing removes every listener, and what is under way may still fail.
    watcher?.removeAllListeners().on('error', () => {})
    await closed
  }
}

/** Tells one directory from another at the same path. `undefined` if there is none. */
async function identityOf (directory: string): Promise<string | undefined> {
  try {
    const { dev, ino } = await stat(directory)
    return `${dev} ${ino}`
  } catch {
    return undefined
  }
}
