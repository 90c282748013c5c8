import { isTime, shapeProblem } from '../keys/validate.js'
import { SourceError } from '../util/errors.js'
import { erase } from '../native/secret-memory.js'
import type { SourceKeys } from './key-source.js'

/* Users can write their own sources, in JavaScript too. These functions check what a source returned before its use. */

/**
 * Checks the form of the keys that a source returned. If the form is wrong, erases all key bytes and throws
 * FST_TICKET_KEYS_SOURCE, which names the first problem. The ring checks the strength of the keys later, because
 * expired keys may be weak.
 *
 * @param where the name of the source, for messages
 */
export function assertSourceKeys (given: unknown, where: string): asserts given is SourceKeys {
  const problem = problemOf(given)
  if (problem === undefined) return
  eraseSourceKeys(given)
  throw new SourceError(`${where} gave ${problem}`)
}

/** Erases the key bytes in a value that a source returned. The value may have a wrong form. */
export function eraseSourceKeys (given: unknown): void {
  const { keys } = (given ?? {}) as { keys?: unknown }
  if (!Array.isArray(keys)) return
  const halves = keys.flatMap((key: unknown) => {
    const { aesKey, hmacKey } = (key ?? {}) as Record<string, unknown>
    return [aesKey, hmacKey]
  })
  erase(...halves.filter((half) => Buffer.isBuffer(half)))
}

/** Returns the value that a source threw, or FST_TICKET_KEYS_SOURCE if the value is not an Error. */
export function errorOf (thrown: unknown, where: string): Error {
  return thrown instanceof Error ? thrown : new SourceError(`${where} threw a value that is not an Error`)
}

function problemOf (given: unknown): string | undefined {
  if (typeof given !== 'object' || given === null) return 'neither keys nor null'
  const { keys, timed, refreshAt, rotationInterval, warnings } = given as Record<keyof SourceKeys, unknown>
  if (!Array.isArray(keys)) return 'keys that are not an array'
  for (const [index, key] of keys.entries()) {
    const problem = shapeProblem(key)
    if (problem !== undefined) return `a wrong key: keys[${index}] ${problem}`
  }
  if (typeof timed !== 'boolean') return 'a timed that is neither true nor false'
  if (refreshAt !== undefined && !isTime(refreshAt)) return 'a refreshAt that is not a number of milliseconds'
  if (rotationInterval !== undefined && !(Number(rotationInterval) > 0)) return 'a rotationInterval that is not a positive number'
  if (warnings !== undefined && !(Array.isArray(warnings) && warnings.every((warning) => typeof warning === 'string'))) {
    return 'warnings that are not an array of strings'
  }
  return undefined
}
