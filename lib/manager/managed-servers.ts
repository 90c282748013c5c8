import type { Attachment } from '../tls/attachment.js'

/**
 * The servers of one manager. The manager keeps an open server alive, but not a closed one: the garbage collector frees
 * a closed server that the application no longer uses. A closed server can listen again, and is then managed as before.
 */
export class ManagedServers {
  readonly #open = new Set<Attachment>()
  readonly #byServer = new WeakMap<object, Attachment>()
  readonly #closed = new Set<WeakRef<Attachment>>()

  /** Number of servers that are not closed. */
  get count (): number {
    return this.#open.size
  }

  get (server: unknown): Attachment | undefined {
    return this.#byServer.get(server as object)
  }

  add (attachment: Attachment): void {
    for (const reference of this.#closed) if (reference.deref() === undefined) this.#closed.delete(reference)
    const { server } = attachment
    const reference = new WeakRef(attachment)
    const open = (): void => {
      this.#closed.delete(reference)
      this.#open.add(attachment)
    }
    const close = (): void => {
      this.#open.delete(attachment)
      this.#closed.add(reference)
    }
    open()
    this.#byServer.set(server, attachment)
    server.on('listening', open).on('close', close)
    attachment.onDetach(() => { server.off('listening', open).off('close', close) })
  }

  /** Removes all servers, and returns those that still exist. */
  removeAll (): Attachment[] {
    const closed = [...this.#closed].map((reference) => reference.deref()).filter((attachment) => attachment !== undefined)
    const all = [...this.#open, ...closed]
    this.#open.clear()
    this.#closed.clear()
    return all
  }
}
