/** Runs asynchronous work one at a time. */
export class Mutex {
  #running: Promise<unknown> | null = null
  readonly #onIdle: () => void

  /** @param onIdle called when work has ended */
  constructor (onIdle: () => void = () => {}) {
    this.#onIdle = onIdle
  }

  /** Whether work is running. */
  get busy (): boolean {
    return this.#running !== null
  }

  /** Runs `work` when no other work is running, and settles with its result. */
  async runExclusive<Result> (work: () => Promise<Result>): Promise<Result> {
    // Several callers may wait here. The first one to continue sets #running, and the others wait again.
    while (this.#running !== null) await this.#running
    const result = work()
    this.#running = result.catch(() => {}).finally(() => {
      this.#running = null
      this.#onIdle()
    })
    return await result
  }
}
