import type { ResolvedOptions } from '../config/options.js'
import type { NativeManager } from '../native/types.js'
import type { Clock } from '../util/clock.js'
import { NotBuiltError } from '../util/errors.js'
import type { Logger } from '../util/log.js'
import { emptyStats, type TicketStats } from './stats.js'
import { TicketKeys, type TicketKeysStatus } from './ticket-keys.js'

const nothing = (): void => {}

/**
 * Replaces the addon's manager if the addon does not load. It holds no keys. It has only the members that
 * UnmanagedTicketKeys and UnmanagedSharedKeys use through inherited methods.
 */
export const NO_MANAGER = {
  handle: 0, memoryLocked: true, revokedUntil: -1, revocations: 0, setRing: () => false, setClockOffset: nothing, onNoCurrentKey: nothing
} satisfies Partial<NativeManager> as unknown as NativeManager

/** Returns the error with which a method rejects if the addon does not load. */
export function notManaged (method: string, cause: Error): Error {
  return new NotBuiltError(`${method}() needs the addon, which does not load, and the option optional leaves tickets to Node.js`, { cause })
}

export function warnUnmanaged (problem: Error, log: Logger): void {
  log.warn(`session ticket keys are not managed, and tickets are left to Node.js (option optional): ${problem.message}`, { err: problem })
}

/** The manager if the addon does not load and the option `optional` is set. Servers keep Node.js's own tickets. */
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
    // Applications may publish the status. The error message names files of this machine, so only the log has it.
    return { ...super.status(), stale: false, staleReason: null, managed: false, reason: `the addon does not load (${this.#problem.code})` }
  }

  override stats (): TicketStats {
    return emptyStats()
  }

  override async rotate (): Promise<never> {
    throw notManaged('rotate', this.#problem)
  }

  override async reload (): Promise<never> {
    throw notManaged('reload', this.#problem)
  }

  override async revokeSessions (): Promise<never> {
    throw notManaged('revokeSessions', this.#problem)
  }
}
