import { closeSync, openSync, readSync, statSync, type Stats } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { FormatError, SourceError } from '../../util/errors.js'
import { joinKeySets, parseKeys, type KeyFormat } from '../../keys/formats/index.js'
import type { KeySet } from '../../keys/key.js'

/** 256 keys take a third of this in the most verbose format. */
const MAX_FILE_BYTES = 1 << 18

/** A file with keys. */
export interface KeyFile extends KeySet {
  path: string
  stats: Stats
}

/** The files at a path, and their keys as one list. */
export interface KeyFiles extends KeySet {
  format: KeyFormat
  isDirectory: boolean
  files: KeyFile[]
}

/** Reads a file, or all files of a directory in name order. Ignores files whose names begin with a dot. */
export async function readKeyFiles (path: string, format: KeyFormat | undefined): Promise<KeyFiles> {
  const isDirectory = statSync(path).isDirectory()
  const paths = isDirectory ? await listFiles(path) : [path]
  const files = paths.map((file) => readKeyFile(file, format))
  // Only JSON is recognized without --format.
  const known = format ?? 'json'
  const set = files.length === 0 ? { keys: [], timed: known === 'json' } : joinKeySets(files, known, path)
  return { ...set, format: known, isDirectory, files }
}

function readKeyFile (path: string, format: KeyFormat | undefined): KeyFile {
  const stats = statSync(path)
  if (stats.size > MAX_FILE_BYTES) throw new FormatError(`${path}: ${stats.size} bytes are too many for a key file`)
  const data = readBounded(path)
  try {
    if (data.length > MAX_FILE_BYTES) throw new FormatError(`${path}: more than ${MAX_FILE_BYTES} bytes are too many for a key file`)
    return { ...parseKeys(data, format, path), path, stats }
  } finally {
    data.fill(0)
  }
}

/** Reads at most MAX_FILE_BYTES + 1 bytes. Pipes and devices report no size, so the limit applies to the read itself. */
function readBounded (path: string): Buffer {
  const data = Buffer.alloc(MAX_FILE_BYTES + 1)
  try {
    return data.subarray(0, readInto(data, path))
  } catch (error) {
    data.fill(0)
    throw error
  }
}

/** Reads synchronously, because asynchronous reads use buffers that cannot be erased. Returns the number of bytes. */
function readInto (data: Buffer, path: string): number {
  const file = openSync(path, 'r')
  try {
    let length = 0
    for (let bytesRead = -1; bytesRead !== 0 && length < data.length; length += bytesRead) {
      bytesRead = readSync(file, data, length, data.length - length, null)
    }
    return length
  } finally {
    closeSync(file)
  }
}

async function listFiles (directory: string): Promise<string[]> {
  const names = (await readdir(directory)).filter((name) => !name.startsWith('.')).sort()
  return names.map((name) => join(directory, name)).filter((path) => statSync(path).isFile())
}

/** @throws SourceError if there are no keys */
export async function readKeys (path: string, format: KeyFormat | undefined): Promise<KeyFiles> {
  const read = await readKeyFiles(path, format)
  if (read.keys.length === 0) throw new SourceError(`${path}: the directory holds no key file`)
  return read
}
