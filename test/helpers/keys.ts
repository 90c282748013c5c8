import { randomBytes } from 'node:crypto'
import { mkdirSync, readlinkSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { serializeKeys, type KeyFormat } from '../../lib/keys/formats/index.js'
import { ISSUES, keyId, type KeyTimes, type TicketKey } from '../../lib/keys/key.js'
import { connect, ticketKeyName, type Protocol } from './client.js'

/** A random key. Its AES key and HMAC key have 32 bytes each by default. By default, it issues without time limits. */
export function randomKey (times: KeyTimes = ISSUES, half = 32): TicketKey {
  return { name: randomBytes(16), aesKey: randomBytes(half), hmacKey: randomBytes(half), ...times }
}

/** The id of a key in status and metrics. */
export function idOf ({ name }: TicketKey): string {
  return keyId(name)
}

/** Writes a key file in place. Only its owner can read it. */
export function writeKeys (path: string, keys: readonly TicketKey[], format: KeyFormat = 'nginx80'): void {
  writeFileSync(path, serializeKeys(keys, format), { mode: 0o600 })
}

/** Writes a key file under another name, and renames it. */
export function renameKeys (path: string, keys: readonly TicketKey[], format: KeyFormat = 'nginx80'): void {
  writeKeys(`${path}.new`, keys, format)
  renameSync(`${path}.new`, path)
}

let generation = 0

/**
 * Changes the files of a directory as Kubernetes does in a mounted Secret: creates a new directory, then switches the
 * link `..data` to it.
 */
export function updateMountedSecret (directory: string, files: Record<string, Buffer>): void {
  const next = `..generation_${generation++}`
  mkdirSync(join(directory, next))
  for (const [name, data] of Object.entries(files)) writeFileSync(join(directory, next, name), data, { mode: 0o600 })
  symlinkSync(next, join(directory, '..data_tmp'))
  const before = dataOf(directory)
  renameSync(join(directory, '..data_tmp'), join(directory, '..data'))
  for (const name of Object.keys(files)) {
    if (before === undefined) symlinkSync(join('..data', name), join(directory, name))
  }
  if (before !== undefined) rmSync(join(directory, before), { recursive: true })
}

function dataOf (directory: string): string | undefined {
  try {
    return readlinkSync(join(directory, '..data'))
  } catch {
    return undefined
  }
}

/** The id of the key with which a server issues tickets, read from a new ticket. */
export async function issuerAt (port: number, protocol: Protocol = 'TLSv1.3'): Promise<string | undefined> {
  const { session, tickets } = await connect({ port, protocol })
  return session === undefined || tickets.length === 0 ? undefined : keyId(ticketKeyName(session))
}
