/** The wall clock. Tests can step it without waiting. The addon follows every step. */
export class Clock {
  #offset = 0
  readonly #followers = new Set<(offset: number) => void>()

  /** Milliseconds since 1970. */
  now (): number {
    return Date.now() + this.#offset
  }

  /** Moves the clock, as an administrator or a time server would. Only followers, such as the addon, are notified. */
  step (milliseconds: number): void {
    this.#offset += milliseconds
    for (const follower of this.#followers) follower(this.#offset)
  }

  /** Calls `follower` with the offset now and at each step. Returns a function that stops this. */
  follow (follower: (offset: number) => void): () => void {
    this.#followers.add(follower)
    follower(this.#offset)
    return () => { this.#followers.delete(follower) }
  }
}
