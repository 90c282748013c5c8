import { isUtf8 } from 'node:buffer'
import { existsSync } from 'node:fs'
import { decodeBase64 } from '../keys/base64.js'
import { MIN_SECRET, withoutLineEnd } from './secret.js'

/** A random secret of 32 bytes has fewer with a probability below 2^-60, in hex too. */
const MIN_DIFFERENT_BYTES = 8

/** How a path or a URL of a file begins. */
const PATH_STARTS = ['/', './', '../', '~/', 'file:']

/** What templates and shells replace by a value. */
const PLACEHOLDERS = ['${', '$(', '{{']

/**
 * Why a value must not be used as a secret; `undefined` if it may. Hex and base64 of at least 32 random bytes always may.
 *
 * @param others the secrets before this one
 */
export function secretProblem (secret: Buffer | undefined, others: Array<Buffer | undefined>): string | undefined {
  if (secret === undefined) return 'must be a string or a Buffer'
  const content = withoutLineEnd(secret)
  const mistake = isText(content) ? textProblem(content) : undefined
  if (mistake !== undefined) return mistake
  if (content.length < MIN_SECRET) return `must have at least ${MIN_SECRET} bytes, a line end at its end not counted`
  if (content.every((byte) => byte === content[0])) return 'must not be one byte repeated'
  if (repeats(content)) return 'must not be a shorter text repeated: generate it at random'
  if (new Set(content).size < MIN_DIFFERENT_BYTES) return `must have at least ${MIN_DIFFERENT_BYTES} different bytes: generate it at random`
  if (others.some((other) => other !== undefined && withoutLineEnd(other).equals(content))) {
    return 'must be another secret than those before it'
  }
  return undefined
}

/** Mistakes that nothing else would notice. Everybody who reads the configuration could compute the keys. */
function textProblem (content: Buffer): string | undefined {
  if (looksLikePath(content)) {
    return 'is the path of a file: what is in it is the secret. Variables that end in _FILE take a path'
  }
  if (PLACEHOLDERS.some((placeholder) => content.includes(placeholder))) {
    return `contains ${PLACEHOLDERS.join(' or ')}, as in a template whose placeholders were not replaced`
  }
  return undefined
}

/** Base64 may begin with a slash. A path of letters, digits and slashes seldom has capitals. */
function looksLikePath (content: Buffer): boolean {
  if (content.includes('/') && existsSync(content)) return true
  return PATH_STARTS.some((start) => content.subarray(0, start.length).equals(Buffer.from(start))) && !isBase64Key(content)
}

/** Whether a text is canonical base64 of at least 32 bytes, with or without padding, and has letters of both cases. */
function isBase64Key (content: Buffer): boolean {
  const text = content.filter((byte) => byte > 0x20)
  const padded = Buffer.alloc(Math.ceil(text.length / 4) * 4, '=')
  padded.set(text)
  const bytes = decodeBase64(padded)
  const length = bytes === undefined ? 0 : bytes.length
  const hasBothCases = text.some((byte) => byte >= 0x41 && byte <= 0x5a) && text.some((byte) => byte >= 0x61 && byte <= 0x7a)
  for (const copy of [text, padded, bytes]) copy?.fill(0)
  return length >= MIN_SECRET && hasBothCases
}

/** Whether the bytes repeat with a period of at most half their length. */
function repeats (bytes: Buffer): boolean {
  for (let period = 1; period <= bytes.length / 2; period++) {
    if (bytes.subarray(period).equals(bytes.subarray(0, -period))) return true
  }
  return false
}

/** Printable ASCII, white space, and UTF-8 of any other letters. */
function isText (bytes: Buffer): boolean {
  return bytes.every((byte) => byte >= 0x20 || (byte >= 0x09 && byte <= 0x0d)) && isUtf8(bytes)
}
