import { connect } from './connect.js'
import type { ConnectOptions, Exchange } from './connect.js'

/** Makes a connection: `connect`, `connectH2`, or a test's own. */
export type Connect = (options: ConnectOptions) => Promise<Exchange>

/** A client with a memory for tickets; counts what became of its connections. */
abstract class TicketClient {
  /** Connections with a full handshake. */
  full = 0
  /** Connections that resumed. */
  resumed = 0
  /** Connections that failed. */
  failed = 0
  readonly #options: ConnectOptions
  readonly #connect: Connect

  /** `options` hold for all connections; `via` is how they are made, {@link connect} if left out. */
  constructor (options: ConnectOptions, via: Connect = connect) {
    this.#options = options
    this.#connect = via
  }

  /** Connects once, with a ticket from memory if there is one. A failure is counted, and thrown. */
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
