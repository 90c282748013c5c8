import { OptionErrors } from '../util/option-errors.js'
import type { NativeRevocation } from '../native/types.js'

/** Which sessions to revoke. All given conditions must hold. Without conditions: all sessions. */
export interface RevocationConditions {
  /** revoke sessions authenticated at or before this time, ms since 1970; default now */
  before?: number
  /** the server name (SNI) that the session is bound to */
  serverName?: string
  /** SHA-256 fingerprint of the client's own certificate, as Node.js prints it */
  fingerprint256?: string
  /** how the session data begins: see the option `sessionData` */
  dataPrefix?: Buffer
}

const MAX_DATA = 512

/**
 * Checks the conditions and converts them for the addon. Throws FST_TICKET_KEYS_OPTIONS, which names every wrong
 * condition.
 *
 * @param now ms since 1970
 */
export function checkRevocation (conditions: unknown, now: number): NativeRevocation {
  const problems = new OptionErrors()
  if (typeof conditions !== 'object' || conditions === null) {
    problems.add('the conditions', 'must be an object')
    problems.throwIfAny()
  }
  const { before, serverName, fingerprint256, dataPrefix, ...others } = conditions as Record<string, unknown>
  const isTime = typeof before === 'number' && before >= 0 && before <= now
  if (before !== undefined && !isTime) problems.add('before', 'must be milliseconds since 1970, and not later than now')
  if (serverName !== undefined && !isName(serverName)) problems.add('serverName', 'must be a host name of at most 255 characters')
  if (fingerprint256 !== undefined && !isFingerprint(fingerprint256)) {
    problems.add('fingerprint256', 'must be 32 bytes in hex, separated by colons')
  }
  if (dataPrefix !== undefined && !isPrefix(dataPrefix)) problems.add('dataPrefix', `must be a Buffer of 1 to ${MAX_DATA} bytes`)
  for (const other of Object.keys(others)) problems.add(other, 'is not a condition')
  problems.throwIfAny()
  return {
    before: isTime ? before : null,
    serverName: isName(serverName) ? Buffer.from(serverName.toLowerCase().replace(/\.$/, '')) : null,
    fingerprint: isFingerprint(fingerprint256) ? Buffer.from(fingerprint256.replaceAll(':', ''), 'hex') : null,
    dataPrefix: isPrefix(dataPrefix) ? dataPrefix : null
  }
}

/** Names on the wire are ASCII (RFC 6066 section 3). */
function isName (value: unknown): value is string {
  return typeof value === 'string' && /^[\x21-\x7e]{1,255}$/.test(value) && value !== '.'
}

function isFingerprint (value: unknown): value is string {
  return typeof value === 'string' && /^[\da-f]{2}(:[\da-f]{2}){31}$/i.test(value)
}

function isPrefix (value: unknown): value is Buffer {
  return Buffer.isBuffer(value) && value.length >= 1 && value.length <= MAX_DATA
}
