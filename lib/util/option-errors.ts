import { OptionsError, WeakKeyError } from './errors.js'

/**
 * Collects problems, to report all of them in one error. Values never appear in it: one may be a secret in
 * the wrong place.
 */
export class OptionErrors {
  readonly #problems: string[] = []
  #onlyWeakKeys = true

  /** @param name the option or variable, as the user wrote it */
  add (name: string, problem: string): void {
    this.#problems.push(`${name} ${problem}`)
    this.#onlyWeakKeys = false
  }

  /** @param name the name of a well-formed key that must not be used */
  addWeakKey (name: string, problem: string): void {
    this.#problems.push(`${name}: ${problem}`)
  }

  /** Throws FST_TICKET_KEYS_OPTIONS if there are problems, or FST_TICKET_KEYS_WEAK_KEY if all of them are weak keys. */
  throwIfAny (): void {
    if (this.#problems.length === 0) return
    throw new (this.#onlyWeakKeys ? WeakKeyError : OptionsError)(this.#problems.join('; '))
  }
}
