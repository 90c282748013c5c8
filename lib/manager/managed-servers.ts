import type { Attachment } from '../tls/attachment.js'

/**
 * The servers of one manager. The manager keeps no server alive: the garbage collector frees a server that is closed, or
 * never listened, and that the application no longer uses. A closed server can listen again, and is then managed as before.
 */
export class ManagedServers {
  readonly #byServer = new WeakMap<object, Attachment>()
  readonly #all = new Set<WeakRef<Attachment>>()
  readonly #closed = new WeakSet<Attachment>()

  /** Number of servers that are not closed. */
  get count (): number {
    return this.#existing().filter((attachment) => !this.#closed.has(attachment)).length
  }

  get (server: unknown): Attachment | undefined {
    return this.#byServer.get(server as object)
  }

  add (attachment: Attachment): void {
    for (const reference of this.#all) if (reference.deref() === undefined) this.#all.delete(reference)
    const { server } = attachment
    const open = (): void => { this.#closed.delete(attachment) }
    const close = (): void => { this.#closed.add(attachment) }
    this.#all.add(new WeakRef(attachment))
    this.#byServer.set(server, attachment)
    server.on('listening', open).on('close', close)
    attachment.onDetach(() => { server.off('listening', open).off('close', close) })
  }

  /** Removes all servers, and returns those that still exist. */
  removeAll (): Attachment[] {
    const all = this.#existing()
    this.#all.clear()
    return all
  }

  #existing (): Attachment[] {
    return [...this.#all].map((reference) => reference.deref()).filter((attachment) => attachment !== undefined)
  }
}
