import { OptionsError, WeakKeyError } from './errors.js'

/** Collects what is wrong, so that one error can say it all. Values never appear in it: one may be a secret in the wrong place. */
export class OptionErrors {
  readonly #problems: string[] = []
  #onlyWeakKeys = true

  /** @param name the option or variable, as the user wrote it */
  add (name: string, problem: string): void {
    this.#problems.push(`${name} ${problem}`)
    this.#onlyWeakKeys = false
  }

  /** @param name of a key that has the right form, but must not be used */
  addWeakKey (name: string, problem: string): void {
    this.#problems.push(`${name}: ${problem}`)
  }

  /** Throws FST_TICKET_KEYS_OPTIONS if there are any; FST_TICKET_KEYS_WEAK_KEY if they are all of that kind. */
  throwIfAny (): void {
    if (this.#problems.length === 0) return
    throw new (this.#onlyWeakKeys ? WeakKeyError : OptionsError)(this.#problems.join('; '))
  }
}
