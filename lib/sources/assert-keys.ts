import { SourceError } from '../util/errors.js'
import { NAME_LENGTH } from '../keys/key.js'
import { erase } from '../native/secret-memory.js'
import type { SourceKeys } from './key-source.js'

/*
 * What comes out of a source, looked at before it is believed: others write sources too, in JavaScript as well.
 */

/**
 * Throws FST_TICKET_KEYS_SOURCE, which names the first thing that is wrong, once all bytes are erased. Weak keys and the lengths of their
 * bytes are left to the ring, which does not look at keys that have expired, nor at those without bytes: their names go to the addon as
 * they are.
 *
 * @param where the source, for messages
 */
export function assertSourceKeys (given: unknown, where: string): asserts given is SourceKeys {
  const problem = problemOf(given)
  if (problem === undefined) return
  eraseSourceKeys(given)
  throw new SourceError(`${where} gave ${problem}`)
}

/** Erases the bytes in what is not used. */
export function eraseSourceKeys (given: unknown): void {
  const { keys } = (given ?? {}) as { keys?: unknown }
  if (!Array.isArray(keys)) return
  const halves = keys.flatMap((key: unknown) => {
    const { aesKey, hmacKey } = (key ?? {}) as Record<string, unknown>
    return [aesKey, hmacKey]
  })
  erase(...halves.filter((half) => Buffer.isBuffer(half)))
}

/** What a source threw, as an Error, whatever it was. */
export function errorOf (thrown: unknown, where: string): Error {
  return thrown instanceof Error ? thrown : new SourceError(`${where} threw what is no Error`)
}

function problemOf (given: unknown): string | undefined {
  if (typeof given !== 'object' || given === null) return 'neither keys nor null'
  const { keys, timed, refreshAt, warnings } = given as Record<keyof SourceKeys, unknown>
  if (!Array.isArray(keys)) return 'keys that are no array'
  for (const [index, key] of keys.entries()) {
    const problem = keyProblem(key)
    if (problem !== undefined) return `keys[${index}] ${problem}`
  }
  if (typeof timed !== 'boolean') return 'a timed that is neither true nor false'
  if (refreshAt !== undefined && !isTime(refreshAt)) return 'a refreshAt that is no number of milliseconds'
  if (warnings !== undefined && !(Array.isArray(warnings) && warnings.every((warning) => typeof warning === 'string'))) {
    return 'warnings that are no array of strings'
  }
  return undefined
}

function keyProblem (key: unknown): string | undefined {
  if (typeof key !== 'object' || key === null) return 'that is no object'
  const { name, aesKey, hmacKey, notBefore, issueUntil, acceptUntil } = key as Record<string, unknown>
  if (!Buffer.isBuffer(name) || name.length !== NAME_LENGTH) return `whose name is no Buffer of ${NAME_LENGTH} bytes`
  for (const half of [aesKey, hmacKey]) {
    if (half !== undefined && !Buffer.isBuffer(half)) return 'whose aesKey or hmacKey is no Buffer'
  }
  if ((aesKey === undefined) !== (hmacKey === undefined)) return 'that has one of aesKey and hmacKey, and not the other'
  if (!isTime(notBefore) || !isTime(issueUntil) || !isTime(acceptUntil)) {
    return 'whose notBefore, issueUntil or acceptUntil is no number of milliseconds'
  }
  if (notBefore > issueUntil || issueUntil > acceptUntil) return 'whose notBefore, issueUntil and acceptUntil are not in that order'
  return undefined
}

/** Infinities are times, too. */
function isTime (value: unknown): value is number {
  return typeof value === 'number' && !Number.isNaN(value)
}
