import { createHash } from 'node:crypto'
import { closeSync, constants, fstatSync, openSync, readdir, readSync, type Stats } from 'node:fs'
import { open } from 'node:fs/promises'
import { dirname, join, parse, resolve } from 'node:path'
import { promisify } from 'node:util'
import { SourceError } from '../util/errors.js'
import { pathExists } from '../util/path-exists.js'
import { MAX_KEYS } from '../keys/key.js'
import { allocateSecret } from '../native/secret-memory.js'
import { describeFile, describeFinding, FileSafety, UnsafeFileError } from './file-safety.js'

/** Maximum size of a key file in bytes. 256 keys are smaller in every format. */
const MAX_BYTES = 1 << 20

/** O_NONBLOCK, so that open() does not block if the path is a FIFO. */
const FLAGS = constants.O_RDONLY | constants.O_NONBLOCK

/** A key file and its content. */
export interface KeyFile {
  path: string
  data: Buffer
  /** modification time in the file system, ms since 1970 */
  modified: number
  warnings: string[]
}

/**
 * Reads a key file. Throws FST_TICKET_KEYS_SOURCE if the file is missing, not a file, too large, or not safe.
 *
 * @param allocate returns locked memory for the content; the caller erases that memory
 */
export async function readKeyFile (path: string, safety: FileSafety, allocate: (bytes: number) => Buffer): Promise<KeyFile> {
  try {
    const file = await open(path, FLAGS)
    try {
      const stats = await file.stat()
      checkFile(stats)
      const warnings = safety.checkFile(path).map(describeFinding)
      // Try to read one byte more than expected, to notice a file that grows while it is read.
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
 * Reads a file with a secret. Reads synchronously, because options are read before anything else runs. Its error
 * messages and warnings follow the words "names a file that".
 */
export function readSecretFile (path: string, strict: boolean): { secret: Buffer, warnings: string[] } {
  const file = openSync(path, FLAGS)
  try {
    const stats = fstatSync(file)
    checkFile(stats)
    const warnings = new FileSafety(strict).checkFile(path).map(describeFile)
    // The memory is erased when it is garbage-collected.
    const memory = allocateSecret(Math.max(stats.size, 1))
    return { secret: memory.subarray(0, readSync(file, memory)), warnings }
  } finally {
    closeSync(file)
  }
}

/** Under the permission model of Node.js 20, `readdir` of fs/promises causes an unhandled rejection. */
const readNames = promisify(readdir)

/**
 * Reads every file of a directory, in the order of the file names. Skips names that begin with a dot.
 *
 * @throws FST_TICKET_KEYS_SOURCE
 */
export async function readKeyDirectory (directory: string, strict: boolean, allocate: (bytes: number) => Buffer): Promise<KeyFile[]> {
  try {
    const names = (await readNames(directory)).filter((name) => !name.startsWith('.')).sort()
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

/** Returns a digest of the names and bytes of files, to detect changes. */
export function digestOf (files: readonly KeyFile[]): string {
  const hash = createHash('sha256')
  for (const { path, data } of files) hash.update(`${path.length} ${path} ${data.length} `).update(data)
  return hash.digest('hex')
}

/**
 * Returns why `readSecretFile` failed. The text follows the name of the variable. It shows the variable's value only if
 * the value can be a path: by mistake, the variable may contain the secret itself.
 */
export function secretFileProblem (path: string, error: unknown): string {
  if (error instanceof Unfit || error instanceof UnsafeFileError) return `names a file that ${problemOf(error)}`
  if ((error as NodeJS.ErrnoException).code === 'ERR_ACCESS_DENIED') {
    return "can't be checked: start Node.js with an --allow-fs-read that includes the file (it takes a path, not the secret itself)"
  }
  if (canBePath(path)) return `names ${path}, which ${problemOf(error)}`
  return pathExists(path) ? `names a file that ${problemOf(error)}` : 'is not the path of a file (it takes a path, not the secret itself)'
}

/** Returns whether a value is probably a path. A base64 secret can have slashes at any place. */
function canBePath (path: string): boolean {
  const directory = dirname(resolve(path))
  return path.includes('/') && !path.endsWith('/') && directory !== parse(directory).root && pathExists(directory)
}

/** Returns what is wrong with a file. The text follows the file's name. */
function problemOf (error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  if (error instanceof UnsafeFileError) return describeFile(error.finding)
  if (code === 'ERR_ACCESS_DENIED') return "can't be read: start Node.js with an --allow-fs-read that includes it"
  return error instanceof Unfit ? message : `can't be read: ${code ?? message}`
}

/** Thrown if a file cannot be a key file. */
class Unfit extends Error {}

function sourceError (path: string, error: unknown): Error {
  if (error instanceof SourceError) return error
  if (error instanceof UnsafeFileError) return new SourceError(describeFinding(error.finding), { cause: error })
  return new SourceError(`${path} ${problemOf(error)}`, { cause: error })
}
