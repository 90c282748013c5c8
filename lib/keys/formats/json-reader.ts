import { Buffer } from 'node:buffer'
import type { Fail } from './format.js'

const [QUOTE, BACKSLASH, MINUS, ZERO, NINE] = [0x22, 0x5c, 0x2d, 0x30, 0x39]
const SPACES: readonly number[] = [0x20, 0x09, 0x0a, 0x0d]

/**
 * A strict JSON reader for bytes. `JSON.parse` does not suit key files. It needs the whole file as a string, including
 * the keys. It accepts duplicate properties. Its error messages quote the file. This reader returns strings as views of
 * the file's own Buffer, and knows which property it reads.
 *
 * Strings are printable ASCII without escapes. A key file needs no other strings.
 */
export class JsonReader {
  readonly #data: Buffer
  readonly #fail: Fail
  #offset = 0

  constructor (data: Buffer, fail: Fail) {
    this.#data = data
    this.#fail = fail
  }

  /** Offset of the next token. */
  get next (): number {
    while (SPACES.includes(this.#data[this.#offset] ?? -1)) this.#offset++
    return this.#offset
  }

  /** Line and column of an offset, counted from 1. */
  place (offset: number): string {
    let line = 1
    let start = 0
    for (let newline = this.#data.indexOf(0x0a); newline !== -1 && newline < offset; newline = this.#data.indexOf(0x0a, start)) {
      line++
      start = newline + 1
    }
    return `line ${line}, column ${offset - start + 1}`
  }

  error (problem: string, offset = this.next): Error {
    return this.#fail(this.place(offset), problem)
  }

  /** Reads an object that has exactly these properties, each once. Calls a property's handler to read its value. */
  object (handlers: Readonly<Record<string, () => void>>): void {
    const start = this.next
    const properties = Object.keys(handlers)
    const seen = new Set<string>()
    this.#expect('{')
    if (!this.#take('}')) {
      do {
        const at = this.next
        const raw = this.string()
        const property = properties.find((candidate) => raw.equals(Buffer.from(candidate, 'latin1')))
        // Do not quote the property: in a damaged file, a key can be in its place.
        if (property === undefined) throw this.error(`unknown property; known are ${properties.join(', ')}`, at)
        if (seen.has(property)) throw this.error(`${property} is given twice`, at)
        seen.add(property)
        this.#expect(':')
        handlers[property]?.()
      } while (this.#take(','))
      this.#expect('}')
    }
    const missing = properties.filter((property) => !seen.has(property))
    if (missing.length > 0) throw this.error(`${missing.join(', ')} missing`, start)
  }

  /** Reads an array. Calls `item` to read each item. */
  array (item: () => void): void {
    this.#expect('[')
    if (this.#take(']')) return
    do item()
    while (this.#take(','))
    this.#expect(']')
  }

  /** Reads a string. Returns the bytes between the quotes as a view of the file's Buffer. */
  string (): Buffer {
    const start = this.next + 1
    if (this.#data[start - 1] !== QUOTE) throw this.error('a string expected')
    for (let end = start; end < this.#data.length; end++) {
      const byte = this.#data[end] as number
      if (byte === QUOTE) {
        this.#offset = end + 1
        return this.#data.subarray(start, end)
      }
      if (byte === BACKSLASH) throw this.error('escape sequences are not supported, and not needed', end)
      if (byte < 0x20 || byte > 0x7e) throw this.error('a character that is not printable ASCII in a string', end)
    }
    throw this.error('a string without end', start - 1)
  }

  /** Reads a string or null. Returns `undefined` for null. */
  stringOrNull (): Buffer | undefined {
    const start = this.next
    if (this.#data[start] === QUOTE) return this.string()
    if (this.#data.toString('latin1', start, start + 4) !== 'null') throw this.error('a string or null expected')
    this.#offset += 4
    return undefined
  }

  /** Reads a whole number of at most nine digits. */
  integer (): number {
    const start = this.next
    let end = start
    if (this.#data[end] === MINUS) end++
    const isDigit = (byte = 0) => byte >= ZERO && byte <= NINE
    while (isDigit(this.#data[end]) && end - start < 10) end++
    const text = this.#data.toString('latin1', start, end)
    if (!/^-?(0|[1-9]\d{0,8})$/.test(text)) throw this.error('a whole number expected')
    this.#offset = end
    return Number(text)
  }

  /** Throws unless only white space follows. */
  end (): void {
    if (this.next !== this.#data.length) throw this.error('something follows the end of the JSON text')
  }

  #take (character: string): boolean {
    if (this.#data[this.next] !== character.charCodeAt(0)) return false
    this.#offset++
    return true
  }

  #expect (character: string): void {
    const atEnd = this.next === this.#data.length
    if (!this.#take(character)) throw this.error(`${character} expected${atEnd ? ', but the file ends here' : ''}`)
  }
}
