import { realpath, stat, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { OptionsError, SourceError } from '../../util/errors.js'
import { checkKeys } from '../../keys/validate.js'
import { isTimed, serializeKeys, type KeyFormat } from '../../keys/formats/index.js'
import { keyId, MAX_KEYS, type TicketKey } from '../../keys/key.js'
import { ignoreMissing, removeStaleTempFiles, replaceFile, writeNewFile } from './atomic-write.js'
import { withLock, type Lock } from './lock.js'
import { readKeyFiles, type KeyFiles } from './read.js'
import { checkRotation, compareTimes, minKeep, rotateList, rotateTimed, type RotationOptions } from './timetable.js'

/**
 * Share of the interval after which a list without times is due. Below 1, because cron does not run exactly on time.
 */
const DUE_SHARE_OF_INTERVAL = 0.9

/** Options of `rotate`. */
export interface RotateOptions extends RotationOptions {
  format?: KeyFormat
  /** number of keys in a list without times, including the next and the current key */
  keep?: number
}

/** The result of `rotate`. */
export interface RotateResult {
  added: number
  removed: number
}

/**
 * Adds the next keys ahead of time and removes expired keys, in a file or a directory. Every change is a single rename,
 * link or unlink, and leaves a usable set of keys. Concurrent runs wait for each other.
 */
export async function rotate (path: string, options: RotateOptions): Promise<RotateResult> {
  const real = await realpath(path)
  const directory = (await stat(real)).isDirectory() ? real : dirname(real)
  return await withLock(directory, async (lock) => {
    await removeStaleTempFiles(directory)
    const read = await readKeyFiles(real, options.format)
    if (!isTimed(read.format)) return await rotateListFile(read, real, options, lock)
    checkRotation(read.format, options)
    return read.isDirectory ? await rotateDirectory(read, real, options, lock) : await rotateFile(read, real, options, lock)
  })
}

async function rotateFile (read: KeyFiles, path: string, options: RotateOptions, lock: Lock): Promise<RotateResult> {
  const { kept, added } = rotateTimed(read.keys, read.format, Date.now(), options)
  const keys = [...kept, ...added]
  const result = countChanges(read.keys, keys)
  if (!hasChanged(read.keys, keys)) return result
  // lighttpd reads only the first key of the file, and remembers the keys that it read before.
  if (read.format === 'lighttpd') keys.sort((a, b) => compareTimes(b.notBefore, a.notBefore))
  await replaceKeys(path, keys, read.format, lock)
  return result
}

/** Writes each new key to its own file, named for its start time. Removes a file when all its keys have expired. */
async function rotateDirectory (read: KeyFiles, path: string, options: RotateOptions, lock: Lock): Promise<RotateResult> {
  const { kept, added } = rotateTimed(read.keys, read.format, Date.now(), options)
  const known = new Set(read.keys.map(({ name }) => name))
  // A key that only got new times stays in its file.
  const current = new Map([...kept, ...added.filter(({ name }) => known.has(name))].map((key) => [key.name, key]))
  const fresh = added.filter(({ name }) => !known.has(name))
  checkKeys([...current.values(), ...fresh], path)

  for (const key of fresh) {
    const begin = new Date(Number.isFinite(key.notBefore) ? key.notBefore : 0).toISOString().replaceAll(':', '-')
    const data = serializeKeys([key], read.format)
    await lock.assertHeld()
    await writeNewFile(join(path, `${begin}-${keyId(key.name)}.${read.format === 'json' ? 'json' : 'key'}`), data, read.files.at(-1)?.stats)
    data.fill(0)
  }
  for (const file of read.files) {
    const keys = file.keys.flatMap(({ name }) => current.get(name) ?? [])
    if (keys.length === 0) {
      await lock.assertHeld()
      await unlink(file.path).catch(ignoreMissing)
    } else if (keys.some((key) => !file.keys.includes(key))) {
      await replaceKeys(file.path, keys, read.format, lock)
    }
  }
  return countChanges(read.keys, [...current.values(), ...fresh])
}

/** Rotates a list without times. It must be a single file: to reorder several files takes several visible steps. */
async function rotateListFile (read: KeyFiles, path: string, options: RotateOptions, lock: Lock): Promise<RotateResult> {
  const [file, ...others] = read.files
  if (file === undefined) throw new SourceError(`${path}: the directory holds no key file; make one with generate`)
  if (others.length > 0) {
    throw new SourceError(`${path}: ${read.format} keys in several files can't be rotated in one step; put them in one file, or use json`)
  }
  const least = minKeep(read.format)
  const { rotationInterval, ticketLifetime } = options
  // The current key, the next key, and the previous keys whose tickets may still be valid.
  const keep = options.keep ?? Math.max(least, 2 + Math.ceil(ticketLifetime / (rotationInterval * DUE_SHARE_OF_INTERVAL)))
  if (keep < least || keep > MAX_KEYS) throw new OptionsError(`--keep: ${keep} keys are not between ${least} and ${MAX_KEYS}`)

  const age = Math.abs(Date.now() - file.stats.mtimeMs)
  // A list with one key has no next key yet. Adding one does not change which key issues, so it need not wait.
  if (read.keys.length > 1 && age < rotationInterval * DUE_SHARE_OF_INTERVAL) return { added: 0, removed: 0 }
  const keys = rotateList(read.keys, read.format, keep)
  await replaceKeys(file.path, keys, read.format, lock)
  return countChanges(read.keys, keys)
}

/** Resolves symbolic links, because a rename would replace the link and not its target. */
async function replaceKeys (path: string, keys: TicketKey[], format: KeyFormat, lock: Lock): Promise<void> {
  checkKeys(keys, path)
  const data = serializeKeys(keys, format)
  await lock.assertHeld()
  await replaceFile(await realpath(path), data)
  data.fill(0)
}

function hasChanged (before: readonly TicketKey[], after: readonly TicketKey[]): boolean {
  return before.length !== after.length || after.some((key) => !before.includes(key))
}

/** A key with new times keeps its name Buffer, and counts as unchanged. */
function countChanges (before: readonly TicketKey[], after: readonly TicketKey[]): RotateResult {
  const missing = (from: readonly TicketKey[], to: readonly TicketKey[]) =>
    from.filter(({ name }) => !to.some((key) => key.name === name)).length
  return { added: missing(after, before), removed: missing(before, after) }
}
