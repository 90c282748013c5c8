/** The wall clock, which tests may set wrong without waiting. The addon is told of every step. */
export class Clock {
  #offset = 0
  readonly #followers = new Set<(offset: number) => void>()

  /** Milliseconds since 1970. */
  now (): number {
    return Date.now() + this.#offset
  }

  /** Moves the clock, as an administrator or a time server would: nobody is told but the addon. */
  step (milliseconds: number): void {
    this.#offset += milliseconds
    for (const follower of this.#followers) follower(this.#offset)
  }

  /** Calls `follower` with the offset now and at each step; returns how to stop. */
  follow (follower: (offset: number) => void): () => void {
    this.#followers.add(follower)
    follower(this.#offset)
    return () => { this.#followers.delete(follower) }
  }
}
