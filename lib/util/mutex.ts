/** Work that must not overlap. */
export class Mutex {
  #running: Promise<unknown> | null = null

  /** Whether some is under way. */
  get busy (): boolean {
    return this.#running !== null
  }

  /** Begins the work when nothing else is under way, at once if nothing is; settles as it does. */
  async runExclusive<Result> (work: () => Promise<Result>): Promise<Result> {
    // One of those that wait is the first to go on: the others find it under way.
    while (this.#running !== null) await this.#running
    const result = work()
    const running = result.catch(() => {}).finally(() => { if (this.#running === running) this.#running = null })
    this.#running = running
    return await result
  }
}
