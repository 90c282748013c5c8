import { OptionsError } from './errors.js'

/** Collects what is wrong, so that one error can say it all. Values never appear in it: one may be a secret in the wrong place. */
export class Problems {
  readonly #problems: string[] = []

  /** @param name the option or variable, as the user wrote it */
  add (name: string, problem: string): void {
    this.#problems.push(`${name} ${problem}`)
  }

  /** Throws FST_TICKET_KEYS_OPTIONS if there are any. */
  check (): void {
    if (this.#problems.length > 0) throw new OptionsError(this.#problems.join('; '))
  }
}
