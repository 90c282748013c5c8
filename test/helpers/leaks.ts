import { Buffer } from 'node:buffer'

/**
 * This number of consecutive secret bytes counts as a leak. A match is never a coincidence, and truncated output still
 * has enough bytes.
 */
const MIN_LEAK_BYTES = 9

/** Secret bytes that must not appear in any text, in any encoding. */
export class LeakDetector {
  readonly #windows = new Map<string, string>()

  /** Adds secret bytes. `find` looks for their beginning, middle and end. */
  add (name: string, bytes: Uint8Array): void {
    for (const start of [0, (bytes.length - MIN_LEAK_BYTES) >> 1, bytes.length - MIN_LEAK_BYTES]) {
      this.#windows.set(Buffer.from(bytes.subarray(start, start + MIN_LEAK_BYTES)).toString('hex'), name)
    }
  }

  /** The number of byte sequences that `find` looks for. */
  get size (): number {
    return this.#windows.size
  }

  /** The secrets in a text, each with its encoding. Empty if there are none. */
  find (text: string): string[] {
    const lower = text.toLowerCase()
    const hex = lower.replace(/\\x|0x|\\u00|[^0-9a-z]/g, '')
    const base64 = text.replaceAll('-', '+').replaceAll('_', '/').replace(/\\n|[\s"']/g, '')
    const decimal = text.replace(/\s/g, '')
    const found: string[] = []
    for (const [window, name] of this.#windows) {
      const bytes = Buffer.from(window, 'hex')
      if (text.includes(bytes.toString('latin1')) || text.includes(bytes.toString('utf8'))) found.push(`${name}: raw`)
      if (hex.includes(window)) found.push(`${name}: hex`)
      if (inBase64(bytes).some((piece) => base64.includes(piece))) found.push(`${name}: base64`)
      if (decimal.includes([...bytes].join())) found.push(`${name}: decimal`)
    }
    return found
  }
}

/**
 * The possible base64 encodings of bytes inside a longer string, without the characters that also
 * encode neighboring bytes.
 */
function inBase64 (bytes: Buffer): string[] {
  return [0, 1, 2].map((before) => {
    const text = Buffer.concat([Buffer.alloc(before), bytes]).toString('base64').replace(/=+$/, '')
    const whole = Math.floor((before + bytes.length) * 8 / 6)
    return text.slice(Math.ceil(before * 8 / 6), whole)
  })
}
