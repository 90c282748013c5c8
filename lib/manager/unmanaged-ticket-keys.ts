import type { ResolvedOptions } from '../config/options.js'
import type { NativeManager } from '../native/types.js'
import type { Clock } from '../util/clock.js'
import { NotBuiltError } from '../util/errors.js'
import type { Log } from '../util/log.js'
import { emptyStats, type TicketStats } from './stats.js'
import { TicketKeys, type TicketKeysStatus } from './ticket-keys.js'

const nothing = (): void => {}

/** Stands for the addon's manager: holds no keys. It has the members that the methods of TicketKeys use which are not overridden below. */
const NO_MANAGER: Partial<NativeManager> = { handle: 0, memoryLocked: true, setRing: nothing, setClockOffset: nothing, onNoCurrentKey: nothing }

/** The manager that the option `optional` gives where the addon does not load: every server keeps Node.js's own tickets. */
export class UnmanagedTicketKeys extends TicketKeys {
  readonly #problem: Error & { code?: string }

  constructor (resolved: ResolvedOptions & { unmanaged: Error | null }, clock: Clock, log: Log) {
    super(resolved, clock, log, NO_MANAGER as NativeManager)
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
    throw this.#error('rotate')
  }

  override async reload (): Promise<never> {
    throw this.#error('reload')
  }

  override async revokeSessions (): Promise<never> {
    throw this.#error('revokeSessions')
  }

  #error (method: string): Error {
    return new NotBuiltError(`${method}() needs the addon, which does not load, and the option optional leaves tickets to Node.js`, { cause: this.#problem })
  }
}
