import { PROTOCOLS, REASONS, type RejectReason } from '../../lib/native/types.js'
import type { TicketStats } from '../../lib/manager/stats.js'
import type { Protocol } from '../../test/helpers/client.js'

/** What clients saw of one protocol version. */
class Counts {
  full = 0
  resumed = 0
  /** tickets that arrived in full handshakes, and in resumed handshakes */
  issued = 0
  renewed = 0
  /** resumed TLS 1.2 handshakes that the client left before it could see a renewed ticket */
  maybeRenewed = 0
  /** tickets in ClientHellos, of which the server examines */
  offered = 0
  /** acceptable tickets in handshakes that the client left before their end */
  aborted = 0
  /** refused tickets by the reasons of which one applies, joined with commas */
  readonly refused = new Map<string, number>()
}

/** Everything that the clients of a group of servers saw, to be compared with the counters of the servers. */
export class Tally {
  /** TCP connections */
  connections = 0
  readonly #counts: Record<Protocol, Counts> = { 'TLSv1.2': new Counts(), 'TLSv1.3': new Counts() }

  of (protocol: Protocol): Counts {
    return this.#counts[protocol]
  }

  refused (protocol: Protocol, reasons: readonly RejectReason[]): void {
    const { refused } = this.of(protocol)
    const key = reasons.join()
    refused.set(key, (refused.get(key) ?? 0) + 1)
  }

  /** The differences between these counts and the servers' counters, one a line. */
  compare (stats: TicketStats): string[] {
    return PROTOCOLS.flatMap((protocol) => {
      const seen = this.of(protocol)
      const rejected = Object.values(stats.rejected[protocol]).reduce((sum, count) => sum + count, 0)
      const resumed = stats.resumed[protocol]
      const renewed = stats.renewed[protocol]
      const equal = (what: string, clients: number, server: number): string[] =>
        clients === server ? [] : [`${protocol} ${what}: the clients saw ${clients}, the server counted ${server}`]
      return [
        ...equal('full handshakes', seen.full, stats.handshakes[protocol].full),
        ...equal('resumed handshakes', seen.resumed, stats.handshakes[protocol].resumed),
        ...equal('resumed tickets', seen.resumed, resumed),
        ...equal('tickets issued', seen.issued, stats.issued[protocol]),
        ...renewed < seen.renewed || renewed > seen.renewed + seen.maybeRenewed
          ? equal(`tickets renewed (and up to ${seen.maybeRenewed} more)`, seen.renewed, renewed)
          : [],
        ...seen.offered === resumed + rejected + seen.aborted
          ? []
          : [`${protocol}: ${seen.offered} tickets offered, but ${resumed} resumed + ${rejected} rejected + ${seen.aborted} aborted`],
        ...this.#compareReasons(protocol, stats)
      ]
    })
  }

  #compareReasons (protocol: Protocol, stats: TicketStats): string[] {
    const { refused } = this.of(protocol)
    const several = [...refused].filter(([key]) => key.includes(','))
    const possible = new Set(several.flatMap(([key]) => key.split(',')))
    return REASONS.flatMap((reason) => {
      const sure = refused.get(reason) ?? 0
      const most = sure + several.reduce((sum, [key, count]) => sum + (key.split(',').includes(reason) ? count : 0), 0)
      const counted = stats.rejected[protocol][reason]
      if (counted >= sure && counted <= most) return []
      const expected = possible.has(reason) ? `${sure} to ${most}` : `${sure}`
      return [`${protocol} rejected, ${reason}: expected ${expected}, the server counted ${counted}`]
    })
  }
}
