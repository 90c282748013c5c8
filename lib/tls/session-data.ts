import type { NativeSessionData, SessionDataFunction } from '../native/types.js'
import type { Clock } from '../util/clock.js'
import type { Logger } from '../util/log.js'

/** Maximum length in bytes. Every ClientHello that offers the ticket carries the data. */
const MAX_LENGTH = 512
const WARN_LENGTH = 128
/** A client can repeat a fault with each connection. */
const REPORT_INTERVAL_MS = 60_000

/** Wraps the user's function for the addon: checks its results, catches its exceptions, and reports both. */
export function sessionDataForAddon (collect: SessionDataFunction, clock: Clock, log: Logger): NativeSessionData {
  let warned = false
  let reportAfter = -Infinity
  let unreported = 0
  const report = (cause: unknown): void => {
    const now = clock.now()
    // After the clock has gone back, do not wait for the old time.
    if (now < reportAfter && reportAfter - now <= REPORT_INTERVAL_MS) {
      unreported++
      return
    }
    const problem = cause instanceof Error ? cause.message : 'it threw a value that is not an Error'
    const others = unreported === 0 ? '' : `; ${unreported} more faults since the last report`
    reportAfter = now + REPORT_INTERVAL_MS
    unreported = 0
    // Do not run the user's logger in the middle of the handshake.
    setImmediate(() => {
      log.error(`the function sessionData failed, and the session gets no ticket: ${problem}${others}`, {
        ...cause instanceof Error && { err: cause }
      })
    })
  }
  return (tls13, serverName, authorized, chain) => {
    try {
      const data = check(collect({ protocol: tls13 ? 'TLSv1.3' : 'TLSv1.2', serverName, authorized, chain }))
      if (data !== null && data.length > WARN_LENGTH && !warned) {
        warned = true
        setImmediate(() => {
          log.warn(`sessionData returned ${data.length} bytes, which every ClientHello of that client carries: ` +
            `keep an id of at most ${WARN_LENGTH} bytes`)
        })
      }
      return data
    } catch (cause) {
      report(cause)
      return false
    }
  }
}

function check (data: unknown): Buffer | null {
  if (data === null) return null
  // An unhandled rejection would end the process.
  if (data instanceof Promise) data.catch(() => {})
  if (!Buffer.isBuffer(data)) throw new TypeError('it must return a Buffer or null, and not a promise')
  if (data.length > MAX_LENGTH) throw new RangeError(`it returned ${data.length} bytes, and ${MAX_LENGTH} are the most that a ticket takes`)
  return data
}
