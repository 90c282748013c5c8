import type { ResolvedOptions } from '../config/options.js'
import type { NativeManager } from '../native/types.js'
import type { Clock } from '../util/clock.js'
import { NotBuiltError } from '../util/errors.js'
import type { Logger } from '../util/log.js'
import { emptyStats, type TicketStats } from './stats.js'
import { TicketKeys, type TicketKeysStatus } from './ticket-keys.js'

const nothing = (): void => {}

/**
 * Stands for the addon's manager, and holds no keys. Complete enough for the methods that the subclasses of TicketKeys and SharedTicketKeys
 * inherit.
 */
export const NO_MANAGER = {
  handle: 0, memoryLocked: true, setRing: () => false, setClockOffset: nothing, onNoCurrentKey: nothing
} satisfies Partial<NativeManager> as unknown as NativeManager

/** Why a method of a manager without the addon rejects. */
export function notManaged (method: string, cause: Error): Error {
  return new NotBuiltError(`${method}() needs the addon, which does not load, and the option optional leaves tickets to Node.js`, { cause })
}

export function warnUnmanaged (problem: Error, log: Logger): void {
  log.warn(`session ticket keys are not managed, and tickets are left to Node.js (option optional): ${problem.message}`, { err: problem })
}

/** The manager that the option `optional` gives where the addon does not load: every server keeps Node.js's own tickets. */
export class UnmanagedTicketKeys extends TicketKeys {
  readonly #problem: Error & { code?: string }

  constructor (resolved: ResolvedOptions & { unmanaged: Error | null }, clock: Clock, log: Logger) {
    super(resolved, clock, log, NO_MANAGER)
    this.#problem = resolved.unmanaged as Error
  }

  override attach (): this {
    return this
  }

  override status (): TicketKeysStatus {
    // A page may show the status, and the error's text names files of this machine: the log has it.
    return { ...super.status(), stale: false, staleReason: null, managed: false, reason: `the addon does not load (${this.#problem.code})` }
  }

  override stats (): TicketStats {
    return emptyStats()
  }

  override async rotate (): Promise<void> {
    throw notManaged('rotate', this.#problem)
  }

  override async reload (): Promise<never> {
    throw notManaged('reload', this.#problem)
  }

  override async revokeSessions (): Promise<never> {
    throw notManaged('revokeSessions', this.#problem)
  }
}
