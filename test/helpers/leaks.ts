import { Buffer } from 'node:buffer'

/** So many bytes in a row of a secret are a leak: no chance brings them about, and no truncation hides them. */
const WINDOW = 9

/** Secret bytes that must not appear in any text, in whatever form bytes are written. */
export class Secrets {
  readonly #windows = new Map<string, string>()

  /** Adds bytes that are secret: their beginning, their middle and their end are looked for. */
  add (name: string, bytes: Uint8Array): void {
    for (const start of [0, (bytes.length - WINDOW) >> 1, bytes.length - WINDOW]) {
      this.#windows.set(Buffer.from(bytes.subarray(start, start + WINDOW)).toString('hex'), name)
    }
  }

  /** How many pieces of bytes are looked for. */
  get size (): number {
    return this.#windows.size
  }

  /** What of the secrets is in a text, and how it is written there; empty if nothing is. */
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

/** What bytes look like inside base64, whatever the number of bytes before them: without the characters that they share with others. */
function inBase64 (bytes: Buffer): string[] {
  return [0, 1, 2].map((before) => {
    const text = Buffer.concat([Buffer.alloc(before), bytes]).toString('base64').replace(/=+$/, '')
    const whole = Math.floor((before + bytes.length) * 8 / 6)
    return text.slice(Math.ceil(before * 8 / 6), whole)
  })
}
