/** A TLS version, as Node.js names it. */
export type Protocol = 'TLSv1.2' | 'TLSv1.3'

/** The results of a series of connections to one address. */
export interface Tally {
  /** Connections tried. */
  connections: number
  /** Connections that resumed. */
  resumed: number
  /** Connections with a full handshake. */
  full: number
  /** Connections whose handshake did not finish. */
  failed: number
  /** `resumed / connections`, from 0 to 1. Never 1, because the first connection of a series has no ticket. */
  share: number
}

/** The results for one address, server name and protocol. */
export interface ProbeResult {
  /** The name or IP address that the user gave. */
  host: string
  /** The address connected to. */
  address: string
  port: number
  /** The server name (SNI) sent; `null` for none. */
  servername: string | null
  protocol: Protocol
  /**
   * `unsupported`: the server refuses the protocol. `unreachable`: no handshake finished. `broken off`: later
   * connections kept failing.
   */
  status: 'probed' | 'unsupported' | 'unreachable' | 'broken off'
  /** Why a connection failed, the last reason seen. */
  error: string | null
  /** New tickets per full handshake, on average. */
  ticketsPerFullHandshake: number | null
  /** New tickets per resumed handshake, on average; `null` if none resumed. */
  ticketsPerResumption: number | null
  /** Whether resumed handshakes give new tickets; `null` if none resumed. */
  renewal: 'always' | 'sometimes' | 'never' | null
  /**
   * Lifetime hint of tickets from full handshakes, in seconds (RFC 8446 section 4.6.1). In TLS 1.2, 0 means unspecified
   * (RFC 5077 section 3.3).
   */
  lifetimeHint: number | null
  /** Lifetime hint of tickets from resumed handshakes, in seconds. */
  renewedLifetimeHint: number | null
  /**
   * Bytes of a ticket from a full handshake. 32 or fewer are probably a reference to a session that the server stores.
   */
  ticketBytes: number | null
  /** Each ticket used once, as browsers do (RFC 8446 appendix C.4). */
  usedOnce: Tally
  /** The newest ticket used every time, even if it was used before. */
  newest: Tally
  /** One ticket, from the first full handshake, used in all connections after it. */
  same: Tally
  /** Whether a ticket that resumed was accepted a second time; `null` if none resumed. */
  sameTicketTwice: boolean | null
  /** Whether all returning connections resume: TLS 1.3 with tickets used once, TLS 1.2 with the newest. */
  ok: boolean
}

/** Where a ticket was issued or presented. `address` has the form `address:port`. */
export interface Location {
  address: string
  servername: string | null
}

/** Tickets from one address or server name, presented to another. */
export interface CrossCheck {
  from: Location
  to: Location
  protocol: Protocol
  /** Tickets presented. */
  shown: number
  /** Tickets that resumed. */
  resumed: number
  /** Why a connection failed, the last reason seen. */
  error: string | null
}

/** The result of a probe. */
export interface Report {
  /**
   * Whether all returning connections resume, and all addresses of a service accept each other's tickets. Results
   * across server names do not count.
   */
  ok: boolean
  /** Connections per test, as asked for. */
  connections: number
  results: ProbeResult[]
  /** Between the addresses of a service, in both directions, under the server name of the first address. */
  acrossAddresses: CrossCheck[]
  /**
   * Between server names at one address, in both directions. Not judged, because binding tickets to names
   * is good practice.
   */
  acrossNames: CrossCheck[]
  /** Why `ok` is false, one sentence per problem. */
  problems: string[]
}

/** The progress of a probe. */
export interface Progress {
  /** Connections made. */
  done: number
  /** The most connections that the probe will make. */
  total: number
  /** Description of the current test. */
  step: string
}
