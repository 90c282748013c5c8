/** Runs asynchronous work one at a time. */
export class Mutex {
  #running: Promise<unknown> | null = null

  /** Whether work is running. */
  get busy (): boolean {
    return this.#running !== null
  }

  /** Runs `work` when no other work is running, and settles with its result. */
  async runExclusive<Result> (work: () => Promise<Result>): Promise<Result> {
    // Several callers may wait here. The first one to continue sets #running, and the others wait again.
    while (this.#running !== null) await this.#running
    const result = work()
    const running = result.catch(() => {}).finally(() => { if (this.#running === running) this.#running = null })
    this.#running = running
    return await result
  }
}
