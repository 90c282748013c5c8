import { emptyStats, type TicketStats } from '../../lib/manager/stats.js'
import { PROTOCOLS, REASONS } from '../../lib/native/types.js'

/** The sum of the counts of tickets and handshakes. */
export function addStats (...all: TicketStats[]): TicketStats {
  const total = emptyStats()
  for (const { issued, renewed, resumed, rejected, handshakes, rotations } of all) {
    total.rotations += rotations
    for (const protocol of PROTOCOLS) {
      total.issued[protocol] += issued[protocol]
      total.renewed[protocol] += renewed[protocol]
      total.resumed[protocol] += resumed[protocol]
      total.handshakes[protocol].full += handshakes[protocol].full
      total.handshakes[protocol].resumed += handshakes[protocol].resumed
      for (const reason of REASONS) total.rejected[protocol][reason] += rejected[protocol][reason]
    }
  }
  return total
}
