import type { RevocationConditions } from './revocation-conditions.js'
import type { RingStatus } from './ring-status.js'

/** The state of the keys, for operators and health checks. Times are ms since 1970. */
export interface TicketKeysStatus extends RingStatus {
  source: string
  /** `false` if the addon did not load and the option `optional` left the tickets to Node.js */
  managed: boolean
  /** why `managed` is false; otherwise `null` */
  reason: string | null
  /** no key can issue now, or a list of keys without times has not changed for twice `rotationInterval` */
  stale: boolean
  /** why `stale` is true; otherwise `null` */
  staleReason: string | null
  lastReload: number | null
  /** error message of the last load; `null` if that load succeeded */
  lastError: string | null
  /** code of that error; unlike the message, the code is safe to publish */
  lastErrorCode: string | null
  /** false if the system did not lock the keys' memory, so that the keys may be swapped to disk */
  memoryLocked: boolean
  servers: number
  /** number of revocations with conditions that are in force */
  revocations: number
}

/** Events of the manager and their arguments. No argument contains key material. */
export interface TicketKeysEvents {
  rotation: [{ current: string | null, previous: string | null }]
  reload: [{ result: 'success' | 'unchanged' }]
  'reload-error': [Error]
  stale: [{ reason: string }]
  /** sessions authenticated up to `until` are refused if they meet the conditions */
  revocation: [{ until: number, conditions: RevocationConditions }]
}
