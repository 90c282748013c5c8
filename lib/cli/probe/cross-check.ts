import { handshake } from './handshake.js'
import type { Client, HeldTicket } from './handshake.js'
import type { CrossCheck } from './report.js'
import { describe } from './ticket-store.js'
import { formatAddress } from './targets.js'

/** Tickets to present for each pair. More than one, because one address may belong to several servers. */
export const TICKETS_SHOWN = 3

/** The most connections that a cross-check makes. */
export const CONNECTIONS_PER_CROSS_CHECK = 2 * TICKETS_SHOWN

/**
 * Gets tickets from `from` in full handshakes, and presents each ticket once to `to`. The result
 * includes failed connections.
 */
export async function crossCheck (from: Client, to: Client, onConnection: () => void): Promise<CrossCheck> {
  let error: string | null = null
  const attempt = async (client: Client, held?: HeldTicket): ReturnType<typeof handshake> => {
    onConnection()
    // Do not verify the name. Only resumption is tested, and `to` may have no certificate for the server
    // name of `from`.
    return await handshake({ ...client, verifyName: false }, held).catch((reason: Error) => {
      error = describe(reason)
      return { resumed: false, tickets: [] }
    })
  }

  const tickets: HeldTicket[] = []
  for (let made = 0; made < TICKETS_SHOWN && tickets.length < TICKETS_SHOWN; made++) {
    tickets.push(...(await attempt(from)).tickets)
  }
  const shown = tickets.slice(0, TICKETS_SHOWN)
  let resumed = 0
  for (const ticket of shown) {
    if ((await attempt(to, ticket)).resumed) resumed++
  }
  return { from: locationOf(from), to: locationOf(to), protocol: from.protocol, shown: shown.length, resumed, error }
}

function locationOf (client: Client): CrossCheck['from'] {
  return { address: formatAddress(client), servername: client.servername }
}
