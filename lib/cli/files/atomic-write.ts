import type { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import type { Stats } from 'node:fs'
import { link, open, readdir, rename, stat, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { SourceError } from '../../util/errors.js'

/** Names of temporary files. They begin with a dot, so that directory sources ignore them. */
const TEMPORARY = /^\..+\.\d+\.[0-9a-f]{16}\.tmp$/

/** Age from which a temporary file is a leftover of a killed writer. Writers rename their file at once. */
const STALE_TEMP_AGE_MS = 60_000

/** Mode bits that a new file takes from the file it replaces. Write permission for all users is not among them. */
const KEPT_MODE = 0o664

/**
 * Creates a file that is complete or absent, even after a crash. Without `like`, only its owner can read it.
 *
 * @throws SourceError if a file of this name exists, or if the directory does not allow a new file
 */
export async function writeNewFile (path: string, data: Buffer, like?: Stats): Promise<void> {
  const temporary = await writeTemporary(path, data, like)
  try {
    // rename() would replace a file that was created in the meantime. link() fails instead.
    await link(temporary, path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    throw new SourceError(`${path} exists, and is not overwritten`)
  } finally {
    await unlink(temporary)
  }
  await syncDirectory(path)
}

/** Replaces a file and keeps its owner and mode. Readers see either the old or the new file, complete. */
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

/** Removes the temporary files of killed writers from a directory, because these files contain keys. */
export async function removeStaleTempFiles (directory: string, now = Date.now()): Promise<void> {
  for (const name of await readdir(directory)) {
    if (!TEMPORARY.test(name)) continue
    const path = join(directory, name)
    const written = await stat(path).then(({ mtimeMs }) => mtimeMs, () => now)
    if (now - written > STALE_TEMP_AGE_MS) await unlink(path).catch(ignoreMissing)
  }
}

/** @param like the new file gets the owner and mode of this file */
async function writeTemporary (path: string, data: Buffer, like: Stats | undefined): Promise<string> {
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}.${randomBytes(8).toString('hex')}.tmp`)
  const handle = await open(temporary, 'wx', 0o600).catch((cause: NodeJS.ErrnoException) => {
    // The message of `cause` names the temporary file. Name the real path instead.
    throw new SourceError(`${path} can't be written: its directory gives ${cause.code}`, { cause })
  })
  try {
    await handle.writeFile(data)
    if (like !== undefined) {
      // Only root may change the owner. Otherwise change the group, so that the group's mode bits still apply.
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
  // Some file systems cannot sync a directory, and some need no sync.
  await handle.sync().catch(() => {})
  await handle.close()
}

/** For `unlink`: another process may have removed the file first. */
export function ignoreMissing (error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error
}
