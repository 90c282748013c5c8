import type { Server } from 'node:net'
import type { Test } from 'tap'
import { Clock } from '../../lib/util/clock.js'
import type { Log } from '../../lib/util/log.js'
import { startTicketKeys } from '../../lib/manager/start.js'
import type { TicketKeys } from '../../lib/manager/ticket-keys.js'
import { resolveOptions, type TicketKeysOptions } from '../../lib/config/options.js'
import { plainHttps, type PlainServer } from './server.js'

/** A logger that keeps its messages. */
export class LogCollector implements Log {
  readonly lines: Array<{ level: keyof Log, message: string }> = []

  info (message: string): void { this.lines.push({ level: 'info', message }) }
  warn (message: string): void { this.lines.push({ level: 'warn', message }) }
  error (message: string): void { this.lines.push({ level: 'error', message }) }

  /** The messages of one level, without the warning about unlocked memory. */
  of (level: keyof Log): string[] {
    return this.lines.filter((line) => line.level === level && !line.message.includes('RLIMIT_MEMLOCK')).map(({ message }) => message)
  }
}

/** A manager with its clock and its log. */
export interface Managed {
  keys: TicketKeys
  clock: Clock
  log: LogCollector
}

/** Makes a manager that reads no variables. The manager closes with the test. */
export async function manage (t: Test, options: TicketKeysOptions = {}, clock = new Clock()): Promise<Managed> {
  const log = new LogCollector()
  const keys = await startTicketKeys(resolveOptions({ environment: false, ...options }), log, clock)
  t.teardown(async () => { await keys.close() })
  return { keys, clock, log }
}

/** Makes a listening server with its own manager: an HTTPS server, or the server that `start` makes. */
export async function serve (t: Test, options?: TicketKeysOptions): Promise<Managed & PlainServer>
export async function serve<S extends Server> (
  t: Test, options: TicketKeysOptions | undefined, start: () => Promise<PlainServer<S>>, clock?: Clock
): Promise<Managed & PlainServer<S>>
export async function serve (
  t: Test, options?: TicketKeysOptions, start: () => Promise<PlainServer> = plainHttps, clock?: Clock
): Promise<Managed & PlainServer> {
  const [managed, plain] = await Promise.all([manage(t, options, clock), start()])
  managed.keys.attach(plain.server)
  return { ...managed, ...plain }
}
