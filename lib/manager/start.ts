import type { ResolvedOptions } from '../config/options.js'
import { Clock } from '../util/clock.js'
import type { Log } from '../util/log.js'
import { TicketKeys } from './ticket-keys.js'
import { UnmanagedTicketKeys } from './unmanaged-ticket-keys.js'

/** Makes the manager for options that were checked, and loads its first keys. Tests give another clock. */
export async function startTicketKeys (resolved: ResolvedOptions, log: Log, clock = new Clock()): Promise<TicketKeys> {
  if (resolved.unmanaged === null) return await new TicketKeys(resolved, clock, log).start()
  log.warn(`session ticket keys are not managed, and tickets are left to Node.js (option optional): ${resolved.unmanaged.message}`)
  return new UnmanagedTicketKeys(resolved, clock, log)
}
