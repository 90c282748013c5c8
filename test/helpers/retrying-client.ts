import type { ConnectOptions } from './connect.js'
import { SingleUseClient } from './pools.js'

/** A server's response, and whether its connection resumed. */
export interface VisitResult {
  reused: boolean
  body: string
}

/** A client that uses each ticket once. It offers a ticket again only if the connection died with its server. */
export class RetryingClient extends SingleUseClient {
  /** The results of the connections that did not die, oldest first. */
  readonly visits: VisitResult[] = []
  #offered: Buffer | undefined

  async visit (options: Partial<ConnectOptions> = {}): Promise<void> {
    try {
      const { reused, body } = await this.connect(options)
      this.visits.push({ reused, body })
    } catch {
      if (this.#offered !== undefined) this.tickets.push(this.#offered)
    }
  }

  protected override take (): Buffer | undefined {
    this.#offered = super.take()
    return this.#offered
  }
}
