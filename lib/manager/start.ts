import type { ResolvedOptions } from '../config/options.js'
import { Clock } from '../util/clock.js'
import { toLogger, type Log } from '../util/log.js'
import { TicketKeys } from './ticket-keys.js'
import { UnmanagedTicketKeys, warnUnmanaged } from './unmanaged-ticket-keys.js'

/** Makes a manager from checked options and loads its first keys. Tests pass their own clock. */
export async function startTicketKeys (resolved: ResolvedOptions, log: Log, clock = new Clock()): Promise<TicketKeys> {
  const logger = toLogger(log)
  if (resolved.unmanaged === null) return await new TicketKeys(resolved, clock, logger).start()
  warnUnmanaged(resolved.unmanaged, logger)
  return new UnmanagedTicketKeys(resolved, clock, logger)
}
