import { isUtf8 } from 'node:buffer'
import { decodeBase64 } from '../keys/base64.js'
import { pathExists } from '../util/path-exists.js'
import { MIN_SECRET, withoutLineEnd } from './secret.js'

/** Minimum number of different bytes. 32 random bytes have fewer with a probability below 2^-60, in hex too. */
const MIN_DIFFERENT_BYTES = 8

/** How paths and file URLs begin. */
const PATH_STARTS = ['/', './', '../', '~/', 'file:']

/** How placeholders of templates and shells begin. */
const PLACEHOLDERS = ['${', '$(', '{{']

/**
 * Returns why a value must not be used as a secret, or `undefined`. Hex and base64 of at least 32 random bytes are
 * never refused.
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

/**
 * Returns a message if a text is a path or a template instead of a secret; otherwise `undefined`. No other check finds
 * these mistakes. Anybody who reads the configuration could compute the keys.
 */
function textProblem (content: Buffer): string | undefined {
  if (looksLikePath(content)) {
    return 'is the path of a file: what is in it is the secret. Variables that end in _FILE take a path'
  }
  if (PLACEHOLDERS.some((placeholder) => content.includes(placeholder))) {
    return `contains ${PLACEHOLDERS.join(' or ')}, as in a template whose placeholders were not replaced`
  }
  return undefined
}

/**
 * Returns whether a secret is probably a path. Base64 may also begin with a slash, but usually has capital letters. A
 * path of letters, digits and slashes seldom has them.
 */
function looksLikePath (content: Buffer): boolean {
  if (content.includes('/') && pathExists(content)) return true
  return PATH_STARTS.some((start) => content.subarray(0, start.length).equals(Buffer.from(start))) && !isBase64Key(content)
}

/**
 * Returns whether a text is canonical base64 of 32 bytes or more, with letters of both cases. Padding may be missing.
 */
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

/** Returns whether the bytes repeat with a period of at most half their length. */
function repeats (bytes: Buffer): boolean {
  for (let period = 1; period <= bytes.length / 2; period++) {
    if (bytes.subarray(period).equals(bytes.subarray(0, -period))) return true
  }
  return false
}

/** Returns whether the bytes are printable ASCII, white space, or UTF-8 of other characters. */
function isText (bytes: Buffer): boolean {
  return bytes.every((byte) => byte >= 0x20 || (byte >= 0x09 && byte <= 0x0d)) && isUtf8(bytes)
}
