import { createHash } from 'node:crypto'
import { closeSync, constants, existsSync, fstatSync, openSync, readSync, type Stats } from 'node:fs'
import { open, readdir } from 'node:fs/promises'
import { dirname, join, parse, resolve } from 'node:path'
import { SourceError } from '../util/errors.js'
import { MAX_KEYS } from '../keys/key.js'
import { allocateSecret } from '../native/secret-memory.js'
import { describeFile, describeFinding, FileSafety, UnsafeFileError } from './file-safety.js'

/** More than 256 keys in any format; a file that is larger is not one of keys. */
const MAX_BYTES = 1 << 20

/** Not blocking on a FIFO that somebody put there. */
const FLAGS = constants.O_RDONLY | constants.O_NONBLOCK

/** A key file as it was read. */
export interface KeyFile {
  path: string
  data: Buffer
  /** when it was written last, ms since 1970 by the file system */
  modified: number
  warnings: string[]
}

/**
 * Reads a key file. Throws FST_TICKET_KEYS_SOURCE if the file is missing, not a file, too large, or not safe.
 *
 * @param allocate locked memory for its bytes, which are the caller's to erase
 */
export async function readKeyFile (path: string, safety: FileSafety, allocate: (bytes: number) => Buffer): Promise<KeyFile> {
  try {
    const file = await open(path, FLAGS)
    try {
      const stats = await file.stat()
      checkFile(stats)
      const warnings = safety.checkFile(path).map(describeFinding)
      // One byte more than expected, so that a file that grows meanwhile is noticed.
      const memory = allocate(stats.size + 1)
      let length = 0
      for (let bytesRead = -1; bytesRead !== 0 && length < memory.length; length += bytesRead) {
        ({ bytesRead } = await file.read(memory, length, memory.length - length, length))
      }
      if (length > stats.size) throw new Unfit('grew while it was read')
      return { path, data: memory.subarray(0, length), modified: stats.mtimeMs, warnings }
    } finally {
      await file.close()
    }
  } catch (error) {
    throw sourceError(path, error)
  }
}

/**
 * The same for a file with a secret, at once, since options are read before anything runs. The texts of its errors and warnings follow
 * "names a file that".
 */
export function readSecretFile (path: string, strict: boolean): { secret: Buffer, warnings: string[] } {
  const file = openSync(path, FLAGS)
  try {
    const stats = fstatSync(file)
    checkFile(stats)
    const warnings = new FileSafety(strict).checkFile(path).map(describeFile)
    // Cleansed when it is collected.
    const memory = allocateSecret(Math.max(stats.size, 1))
    return { secret: memory.subarray(0, readSync(file, memory)), warnings }
  } finally {
    closeSync(file)
  }
}

/**
 * Reads every file of a directory, in the order of their names. Skips names that begin with a dot. Throws FST_TICKET_KEYS_SOURCE.
 */
export async function readKeyDirectory (directory: string, strict: boolean, allocate: (bytes: number) => Buffer): Promise<KeyFile[]> {
  try {
    const names = (await readdir(directory)).filter((name) => !name.startsWith('.')).sort()
    const safety = new FileSafety(strict)
    const warnings = safety.checkDirectory(directory).map(describeFinding)
    if (names.length === 0) throw new Unfit('has no key file')
    if (names.length > MAX_KEYS) throw new Unfit(`has ${names.length} files, more than ${MAX_KEYS} keys`)
    const files: KeyFile[] = []
    for (const name of names) {
      const file = await readKeyFile(join(directory, name), safety, allocate)
      files.push({ ...file, warnings: [...warnings.splice(0), ...file.warnings] })
    }
    return files
  } catch (error) {
    throw sourceError(directory, error)
  }
}

function checkFile (stats: Stats): void {
  if (!stats.isFile()) throw new Unfit('is not a file')
  if (stats.size > MAX_BYTES) throw new Unfit(`has ${stats.size} bytes, more than any file of ticket keys`)
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
  if (error instanceof Unfit || error instanceof UnsafeFileError) return `names a file that ${problemOf(error)}`
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
  if (error instanceof UnsafeFileError) return describeFile(error.finding)
  return error instanceof Unfit ? message : `can't be read: ${code}`
}

/** Something about a file that makes it no key file. */
class Unfit extends Error {}

function sourceError (path: string, error: unknown): Error {
  if (error instanceof SourceError) return error
  if (error instanceof UnsafeFileError) return new SourceError(describeFinding(error.finding), { cause: error })
  return new SourceError(`${path} ${problemOf(error)}`, { cause: error })
}
