import { isLog, processLog, toLogger, type Log } from './util/log.js'
import { startTicketKeys } from './manager/start.js'
import type { TicketKeys } from './manager/ticket-keys.js'
import { registerMetrics } from './metrics/register.js'
import { logStart } from './metrics/start-line.js'
import { checkIsObject, resolveOptions, type TicketKeysOptions } from './config/options.js'
import { OptionErrors } from './util/option-errors.js'

/**
 * Options of `createTicketKeys`: those of the plugin, and `log`. Of `metrics`, only `register` has an effect, because
 * routes need Fastify.
 */
export interface ManagerOptions extends TicketKeysOptions {
  /** receives messages; by default, messages are Node.js warnings */
  log?: Log
}

/**
 * Makes a manager for servers without Fastify. Call its `attach` for each server. Missing options come from the
 * environment (`TICKET_KEYS_*`). Rejects with FST_TICKET_KEYS_OPTIONS, which names every wrong option, or with the
 * error of the source.
 */
export async function createTicketKeys (options: ManagerOptions = {}): Promise<TicketKeys> {
  const problems = new OptionErrors()
  const { log = processLog, ...rest } = checkIsObject(options, problems)
  if (!isLog(log)) problems.add('log', 'must have the functions info, warn and error')
  const resolved = resolveOptions(rest, problems)
  const { register, ...routes } = resolved.metrics ?? {}
  if (rest.metrics !== undefined && Object.keys(routes).length > 0) {
    log.warn('metrics has no effect here but for metrics.register: routes are the Fastify plugin\'s')
  }
  for (const warning of resolved.warnings) log.warn(warning)
  const manager = await startTicketKeys(resolved, log)
  try {
    if (register !== undefined) registerMetrics(manager, register)
    if (resolved.unmanaged === null) {
      logStart(toLogger(log), manager.status(), register === undefined ? 'none' : 'in the registry of the application')
    }
  } catch (error) {
    await manager.close().catch(() => {})
    throw error
  }
  return manager
}
