import { constants } from 'node:fs'
import { open, readdir, stat } from 'node:fs/promises'
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { SourceError } from '../errors.js'
import { allocateSecret, erase } from '../secret.js'

/** More than 256 keys in any format; a file that is larger is not one of keys. */
const MAX_BYTES = 1 << 20

const WRITABLE_BY_OTHERS = 0o002
const READABLE_BY_OTHERS = 0o004
const STICKY = 0o1000

/** A key file as it was read: erase `data`. */
export interface KeyFile {
  path: string
  data: Buffer
  /** when it was written last, ms since 1970 by the file system */
  modified: number
  warnings: string[]
}

/**
 * Reads a key file into locked memory. Throws FST_TICKET_KEYS_SOURCE for what is missing, not a file, too large, writable by others, or,
 * with `strict`, readable by others.
 */
export async function readKeyFile (path: string, strict: boolean): Promise<KeyFile> {
  // Not blocking on a FIFO that somebody put there.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((error: NodeJS.ErrnoException) => {
    throw unreadable(path, error)
  })
  let data: Buffer | undefined
  try {
    const { size, mode, mtimeMs, ...stats } = await file.stat()
    if (!stats.isFile()) throw new SourceError(`${path} is not a file`)
    if (size > MAX_BYTES) throw new SourceError(`${path} has ${size} bytes, more than any file of ticket keys`)
    if ((mode & WRITABLE_BY_OTHERS) !== 0) throw new SourceError(`${path} can be written by everybody: chmod o-w`)
    const warnings: string[] = []
    if ((mode & READABLE_BY_OTHERS) !== 0) {
      const warning = `${path} can be read by everybody: chmod o-r`
      if (strict) throw new SourceError(warning)
      warnings.push(warning)
    }
    // One byte more than expected, so that a file that grows meanwhile is noticed.
    const memory = data = allocateSecret(size + 1)
    let length = 0
    for (;;) {
      const { bytesRead } = await file.read(memory, length, memory.length - length, length)
      length += bytesRead
      if (bytesRead === 0 || length === memory.length) break
    }
    if (length > size) throw new SourceError(`${path} grew while it was read`)
    return { path, data: memory.subarray(0, length), modified: mtimeMs, warnings }
  } catch (error) {
    if (data !== undefined) erase(data)
    throw error instanceof SourceError ? error : unreadable(path, error as NodeJS.ErrnoException)
  } finally {
    await file.close()
  }
}

/** Reads every file of a directory, in name order, names that begin with a dot passed over. Throws FST_TICKET_KEYS_SOURCE. */
export async function readKeyDirectory (directory: string, strict: boolean): Promise<KeyFile[]> {
  const files: KeyFile[] = []
  try {
    const { mode } = await stat(directory)
    if ((mode & WRITABLE_BY_OTHERS) !== 0 && (mode & STICKY) === 0) throw new SourceError(`${directory} can be written by everybody: chmod o-w`)
    const names = (await readdir(directory)).filter((name) => !name.startsWith('.')).sort()
    for (const name of names) files.push(await readKeyFile(join(directory, name), strict))
    if (files.length === 0) throw new SourceError(`${directory} has no key file`)
    return files
  } catch (error) {
    eraseFiles(files)
    throw error instanceof SourceError ? error : unreadable(directory, error as NodeJS.ErrnoException)
  }
}

export function eraseFiles (files: readonly KeyFile[]): void {
  erase(...files.map(({ data }) => data))
}

/** Tells one content from another: names and bytes. */
export function digestOf (files: readonly KeyFile[]): string {
  const hash = createHash('sha256')
  for (const { path, data } of files) hash.update(`${path.length} ${path} ${data.length} `).update(data)
  return hash.digest('hex')
}

function unreadable (path: string, error: NodeJS.ErrnoException): Error {
  const made = new SourceError(`${path} can't be read: ${error.code ?? error.message}`)
  made.cause = error
  return made
}
