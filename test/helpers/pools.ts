import { connect } from './connect.js'
import type { ConnectOptions, Exchange } from './connect.js'

/** Makes a connection: `connect`, `connectH2`, or a test's own. */
export type Connect = (options: ConnectOptions) => Promise<Exchange>

/** A client that stores tickets, and counts the results of its connections. */
abstract class TicketClient {
  /** Connections with a full handshake. */
  full = 0
  /** Connections that resumed. */
  resumed = 0
  /** Connections that failed. */
  failed = 0
  readonly #options: ConnectOptions
  readonly #connect: Connect

  /** `options` apply to all connections. `via` makes the connections; default: {@link connect}. */
  constructor (options: ConnectOptions, via: Connect = connect) {
    this.#options = options
    this.#connect = via
  }

  /** Connects once, with a stored ticket if there is one. Counts a failure, and throws it. */
  async connect (options: Partial<ConnectOptions> = {}): Promise<Exchange> {
    try {
      const exchange = await this.#connect({ ...this.#options, session: this.take(), ...options })
      if (exchange.reused) this.resumed++
      else this.full++
      this.keep(exchange)
      return exchange
    } catch (error) {
      this.failed++
      throw error
    }
  }

  protected abstract take (): Buffer | undefined
  protected abstract keep (exchange: Exchange): void
}

/** Uses each ticket once and the newest first, as browsers do over TLS 1.3. */
export class SingleUseClient extends TicketClient {
  readonly tickets: Buffer[] = []

  protected override take (): Buffer | undefined {
    return this.tickets.pop()
  }

  protected override keep (exchange: Exchange): void {
    this.tickets.push(...exchange.tickets)
  }
}

/** Uses its newest ticket again and again, as clients do over TLS 1.2. */
export class ReusingClient extends TicketClient {
  session: Buffer | undefined

  protected override take (): Buffer | undefined {
    return this.session
  }

  protected override keep (exchange: Exchange): void {
    this.session = exchange.session ?? this.session
  }
}
