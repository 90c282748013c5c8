import type { KeySource } from './key-source.js'

/**
 * Uses the ring of a manager in another thread of this process. That manager loads, rotates and erases the keys. This
 * source never returns keys.
 */
export class ThreadSource implements KeySource {
  readonly type = 'shared'
  /** the `handle` of the manager that owns the ring */
  readonly handle: number

  constructor (handle: number) {
    this.handle = handle
  }

  load (): null {
    return null
  }
}
