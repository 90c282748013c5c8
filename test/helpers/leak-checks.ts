import { inspect } from 'node:util'
import type { Test } from 'tap'
import { addon } from '../../lib/native/binding.js'
import type { LeakDetector } from './leaks.js'

const HALF = 32

/**
 * Returns everything that Node.js can show of an object, without repeated lines. Most lines of a request are repeated.
 */
export function whole (value: unknown): string {
  const text = inspect(value, { showHidden: true, depth: Infinity, maxStringLength: Infinity })
  return [...new Set(text.split('\n').map((line) => line.trim()))].join('\n')
}

/** Exports the current keys of a manager from the addon, into memory that is not erased. */
export function heldKeys (handle: number): Array<{ id: string, aesKey: Buffer, hmacKey: Buffer }> {
  const out = Buffer.alloc(256 * 2 * HALF)
  return new (addon().Manager)(handle).exportKeys(out).map(({ name, keyLength }, index) => {
    const at = index * 2 * HALF
    return {
      id: name.toString('hex', 0, 4),
      aesKey: out.subarray(at, at + keyLength),
      hmacKey: out.subarray(at + HALF, at + HALF + keyLength)
    }
  })
}

/** Checks that the outputs contain no secret. There must be secrets, and no output may be empty. */
export function nothingLeaks (t: Test, secrets: LeakDetector, said: Map<string, string>): void {
  t.ok(secrets.size > 0 && [...said.values()].every((text) => text.length > 0))
  for (const [where, text] of said) t.strictSame(secrets.find(text), [], `${where}, ${text.length} characters`)
}
