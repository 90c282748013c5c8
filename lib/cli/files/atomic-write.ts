import type { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import type { Stats } from 'node:fs'
import { link, open, readdir, rename, stat, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { SourceError } from '../../util/errors.js'

/** Names of temporary files. They begin with a dot, so that directory sources pass them over. */
const TEMPORARY = /^\..+\.\d+\.[0-9a-f]{16}\.tmp$/

/** ms after which a temporary file can't be in use: it is written and renamed at once. */
const STALE_TEMP_AGE_MS = 60_000

/** Mode bits of a replaced file that are kept. The bit that lets every user write is not among them. */
const KEPT_MODE = 0o664

/**
 * Makes a file, readable by its owner only, that is there whole or not at all, whatever happens in
 * between.
 *
 * @throws SourceError if there is a file of that name, or none can be made in its directory
 */
export async function writeNewFile (path: string, data: Buffer, like?: Stats): Promise<void> {
  const temporary = await writeTemporary(path, data, like)
  try {
    // Not a rename, which would replace a file that came to be in the meantime.
    await link(temporary, path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    throw new SourceError(`${path} exists, and is not overwritten`)
  } finally {
    await unlink(temporary)
  }
  await syncDirectory(path)
}

/** Puts a file in the place of another, whose owner and mode it keeps. Readers see the old one or the new one, whole. */
export async function replaceFile (path: string, data: Buffer): Promise<void> {
  const temporary = await writeTemporary(path, data, await stat(path))
  try {
    await rename(temporary, path)
  } catch (error) {
    await unlink(temporary)
    throw error
  }
  await syncDirectory(path)
}

/** Removes what writers that were killed left in a directory: their files hold keys. */
export async function removeLeftBehind (directory: string, now = Date.now()): Promise<void> {
  for (const name of await readdir(directory)) {
    if (!TEMPORARY.test(name)) continue
    const path = join(directory, name)
    const written = await stat(path).then(({ mtimeMs }) => mtimeMs, () => now)
    if (now - written > STALE_TEMP_AGE_MS) await unlink(path).catch(ignoreMissing)
  }
}

/** @param like a file whose owner and mode the new one gets */
async function writeTemporary (path: string, data: Buffer, like: Stats | undefined): Promise<string> {
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}.${randomBytes(8).toString('hex')}.tmp`)
  const handle = await open(temporary, 'wx', 0o600).catch((cause: NodeJS.ErrnoException) => {
    // Not its message, which names the temporary file.
    const error = new SourceError(`${path} can't be written: its directory gives ${cause.code}`)
    error.cause = cause
    throw error
  })
  try {
    await handle.writeFile(data)
    if (like !== undefined) {
      // Only root may give files away. Without, the mode still says who of the group may read.
      await handle.chown(like.uid, like.gid).catch(() => handle.chown(-1, like.gid)).catch(() => {})
      await handle.chmod(like.mode & KEPT_MODE)
    }
    await handle.sync()
  } catch (error) {
    await unlink(temporary)
    throw error
  } finally {
    await handle.close()
  }
  return temporary
}

/** Writes a new file name to the disk. The name is stored in the directory, not in the file. */
async function syncDirectory (path: string): Promise<void> {
  const handle = await open(dirname(path), 'r')
  // Some file systems can't, and some need not.
  await handle.sync().catch(() => {})
  await handle.close()
}

/** For `unlink`: somebody else was faster. */
export function ignoreMissing (error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error
}
