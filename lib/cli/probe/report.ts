/** A TLS version that is probed, named as Node.js names it. */
export type Protocol = 'TLSv1.2' | 'TLSv1.3'

/** What became of a series of connections to one address. */
export interface Tally {
  /** Connections tried. */
  connections: number
  /** Connections that resumed. */
  resumed: number
  /** Connections that went through a full handshake. */
  full: number
  /** Connections without a finished handshake. */
  failed: number
  /** `resumed / connections`, 0 to 1. The first connection of a series has no ticket, so that 1 is never reached. */
  share: number
}

/** One address under one server name over one protocol. */
export interface ProbeResult {
  /** The name or IP address that the user gave. */
  host: string
  /** The address connected to. */
  address: string
  port: number
  /** The server name (SNI) sent; `null` for none. */
  servername: string | null
  protocol: Protocol
  /** `unsupported`: the server refuses the protocol; `unreachable`: not one handshake; `broken off`: later connections kept failing. */
  status: 'probed' | 'unsupported' | 'unreachable' | 'broken off'
  /** Why a connection failed, the last reason seen. */
  error: string | null
  /** New tickets per full handshake, on average. */
  ticketsPerFullHandshake: number | null
  /** New tickets per resumed handshake, on average; `null` if none resumed. */
  ticketsPerResumption: number | null
  /** Whether resumed handshakes give new tickets; `null` if none resumed. */
  renewal: 'always' | 'sometimes' | 'never' | null
  /** Lifetime in seconds that tickets of full handshakes say (RFC 8446 section 4.6.1; 0 in TLS 1.2: not said, RFC 5077 section 3.3). */
  lifetimeHint: number | null
  /** The same of tickets that resumed handshakes gave. */
  renewedLifetimeHint: number | null
  /** Bytes of a ticket from a full handshake; 32 or fewer are rather a reference to a session that the server keeps. */
  ticketBytes: number | null
  /** Each ticket used once, as browsers do (RFC 8446 appendix C.4). */
  usedOnce: Tally
  /** The newest ticket used every time, whether it was used before or not. */
  newest: Tally
  /** One ticket, from the first full handshake, used in all connections after it. */
  same: Tally
  /** Whether a ticket that resumed was accepted a second time; `null` if none resumed. */
  sameTicketTwice: boolean | null
  /** Whether all returning connections resume: TLS 1.3 with tickets used once, TLS 1.2 with the newest. */
  ok: boolean
}

/** Where a ticket came from or was shown: an address as in {@link ProbeResult}, written `address:port`. */
export interface Place {
  address: string
  servername: string | null
}

/** Tickets of one address, or server name, shown to another. */
export interface Crossing {
  from: Place
  to: Place
  protocol: Protocol
  /** Tickets shown. */
  shown: number
  /** Tickets that resumed. */
  resumed: number
  /** Why a connection failed, the last reason seen. */
  error: string | null
}

/** Everything a probe found out. */
export interface Report {
  /** Whether all returning connections resume, and all addresses of a service accept each other's tickets. Server names don't count. */
  ok: boolean
  /** Connections per test, as asked for. */
  connections: number
  results: ProbeResult[]
  /** Between the addresses of a service, both ways, under the server name of issue. */
  acrossAddresses: Crossing[]
  /** Between server names at one address, both ways. Only told, not judged: binding tickets to names is a virtue. */
  acrossNames: Crossing[]
  /** What keeps `ok` from being true, a sentence each. */
  problems: string[]
}

/** How far a probe has come. */
export interface Progress {
  /** Connections made. */
  done: number
  /** Connections there will be at most, as far as is known now. */
  total: number
  /** What is being tested. */
  step: string
}
