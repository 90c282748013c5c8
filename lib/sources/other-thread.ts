import type { KeySource } from './key-source.js'

/** The ring of a manager in another thread of this process. Its owner loads, rotates and erases; nothing comes from here. */
export class ThreadSource implements KeySource {
  readonly type = 'shared'
  /** what the owner calls `handle` */
  readonly handle: number

  constructor (handle: number) {
    this.handle = handle
  }

  load (): null {
    return null
  }
}
