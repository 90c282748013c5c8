import { createHash } from 'node:crypto'
import { closeSync, constants, existsSync, fstatSync, openSync, readSync, type Stats } from 'node:fs'
import { open, readdir, stat } from 'node:fs/promises'
import { dirname, join, parse, resolve } from 'node:path'
import { SourceError } from '../util/errors.js'
import { MAX_KEYS } from '../keys/key.js'
import { allocateSecret } from '../native/secret-memory.js'

/** More than 256 keys in any format; a file that is larger is not one of keys. */
const MAX_BYTES = 1 << 20

const WRITABLE_BY_OTHERS = 0o002
const READABLE_BY_OTHERS = 0o004
const STICKY = 0o1000

/** Not blocking on a FIFO that somebody put there. */
const FLAGS = constants.O_RDONLY | constants.O_NONBLOCK

/** A key file as it was read. */
export interface KeyFile {
  path: string
  data: Buffer
  /** when it was written last, ms since 1970 by the file system */
  modified: number
  warning: string | undefined
}

/**
 * Reads a key file. Throws FST_TICKET_KEYS_SOURCE for what is missing, not a file, too large, writable by others, or, with `strict`,
 * readable by others.
 *
 * @param allocate locked memory for its bytes, which are the caller's to erase
 */
export async function readKeyFile (path: string, strict: boolean, allocate: (bytes: number) => Buffer): Promise<KeyFile> {
  try {
    const file = await open(path, FLAGS)
    try {
      const stats = await file.stat()
      const warning = checkFile(stats, strict)
      // One byte more than expected, so that a file that grows meanwhile is noticed.
      const memory = allocate(stats.size + 1)
      let length = 0
      for (let bytesRead = -1; bytesRead !== 0 && length < memory.length; length += bytesRead) {
        ({ bytesRead } = await file.read(memory, length, memory.length - length, length))
      }
      if (length > stats.size) throw new Unfit('grew while it was read')
      return { path, data: memory.subarray(0, length), modified: stats.mtimeMs, warning: warning && `${path} ${warning}` }
    } finally {
      await file.close()
    }
  } catch (error) {
    throw sourceError(path, error)
  }
}

/**
 * The same for a file with a secret, at once, since options are read before anything runs. What it throws and warns of is without the
 * path.
 */
export function readSecretFile (path: string, strict: boolean): { secret: Buffer, warning: string | undefined } {
  const file = openSync(path, FLAGS)
  try {
    const stats = fstatSync(file)
    const warning = checkFile(stats, strict)
    // Cleansed when it is collected.
    const memory = allocateSecret(Math.max(stats.size, 1))
    return { secret: memory.subarray(0, readSync(file, memory)), warning }
  } finally {
    closeSync(file)
  }
}

/** Reads every file of a directory, in name order, names that begin with a dot passed over. Throws FST_TICKET_KEYS_SOURCE. */
export async function readKeyDirectory (directory: string, strict: boolean, allocate: (bytes: number) => Buffer): Promise<KeyFile[]> {
  try {
    await checkDirectory(directory)
    const names = (await readdir(directory)).filter((name) => !name.startsWith('.')).sort()
    if (names.length === 0) throw new Unfit('has no key file')
    if (names.length > MAX_KEYS) throw new Unfit(`has ${names.length} files, more than ${MAX_KEYS} keys`)
    const files: KeyFile[] = []
    for (const name of names) files.push(await readKeyFile(join(directory, name), strict, allocate))
    return files
  } catch (error) {
    throw sourceError(directory, error)
  }
}

/** Who can put files into a directory can replace those that are there. Throws FST_TICKET_KEYS_SOURCE. */
export async function checkDirectory (directory: string): Promise<void> {
  try {
    const { mode } = await stat(directory)
    if ((mode & WRITABLE_BY_OTHERS) !== 0 && (mode & STICKY) === 0) throw new Unfit('can be written by everybody: chmod o-w')
  } catch (error) {
    throw sourceError(directory, error)
  }
}

/** Returns a warning, throws where a file must not be used. */
function checkFile (stats: Stats, strict: boolean): string | undefined {
  if (!stats.isFile()) throw new Unfit('is not a file')
  if (stats.size > MAX_BYTES) throw new Unfit(`has ${stats.size} bytes, more than any file of ticket keys`)
  if ((stats.mode & WRITABLE_BY_OTHERS) !== 0) throw new Unfit('can be written by everybody: chmod o-w')
  if ((stats.mode & READABLE_BY_OTHERS) === 0) return undefined
  const warning = 'can be read by everybody: chmod o-r'
  if (strict) throw new Unfit(warning)
  return warning
}

/** Tells one content from another: names and bytes. */
export function digestOf (files: readonly KeyFile[]): string {
  const hash = createHash('sha256')
  for (const { path, data } of files) hash.update(`${path.length} ${path} ${data.length} `).update(data)
  return hash.digest('hex')
}

/**
 * Why `readSecretFile` failed, in words that follow the name of the variable. Shows the path only if it can be one: by
 * mistake, the variable may hold the secret itself.
 */
export function secretFileProblem (path: string, error: unknown): string {
  if (error instanceof Unfit) return `names a file that ${problemOf(error)}`
  if (canBePath(path)) return `names ${path}, which ${problemOf(error)}`
  return existsSync(path) ? `names a file that ${problemOf(error)}` : 'is not the path of a file (it takes a path, not the secret itself)'
}

/** Base64 can begin or end with a slash, and can have slashes inside. */
function canBePath (path: string): boolean {
  const directory = dirname(resolve(path))
  return path.includes('/') && !path.endsWith('/') && directory !== parse(directory).root && existsSync(directory)
}

/** What is wrong with a file, in words that follow its name. */
function problemOf (error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  return error instanceof Unfit ? message : `can't be read: ${code}`
}

/** Something about a file that makes it no key file. */
class Unfit extends Error {}

function sourceError (path: string, error: unknown): Error {
  if (error instanceof SourceError) return error
  return new SourceError(`${path} ${problemOf(error)}`, { cause: error })
}
