/** Where messages go. Fastify's logger fits, and so does pino. A message never holds key material. */
export interface Log {
  info (message: string): void
  warn (message: string): void
  error (message: string): void
}

/** Facts that belong to a message: an error as `err`, ids, reasons. Never key material. */
export type LogFields = { err?: Error } & Record<string, unknown>

/** How this package logs. */
export interface Logger {
  info (message: string, fields?: LogFields): void
  warn (message: string, fields?: LogFields): void
  error (message: string, fields?: LogFields): void
}

type Level = keyof Log

/** Used without a logger. Warnings and errors become Node.js warnings, so that they are seen. `info` is dropped. */
export const processLog: Log = {
  info () {},
  warn (message) { process.emitWarning(message, { type: 'TicketKeysWarning' }) },
  error (message) { process.emitWarning(message, { type: 'TicketKeysError' }) }
}

export function isLog (value: unknown): value is Log {
  const log = value as Partial<Log> | null
  return [log?.info, log?.warn, log?.error].every((method) => typeof method === 'function')
}

/**
 * Logs to the user's logger. A logger that has `child`, as pino's and Fastify's do, gets the fields as an object before
 * the message. Any other logger gets the message with the error's code.
 */
export function toLogger (log: Log): Logger {
  const write = (level: Level) => (message: string, fields: LogFields = {}): void => {
    if (isStructured(log)) return log[level](fields.err === undefined ? fields : { ...fields, err: withoutProperties(fields.err) }, message)
    const { code } = (fields.err ?? {}) as NodeJS.ErrnoException
    log[level](code === undefined ? message : `${message} (${code})`)
  }
  return { info: write('info'), warn: write('warn'), error: write('error') }
}

/** The part of pino's interface that takes an object. */
type StructuredLog = Record<Level, (fields: object, message: string) => void>

function isStructured (log: object): log is StructuredLog {
  // winston's loggers have `child` too, but take the message first.
  return typeof (log as { child?: unknown }).child === 'function' && !('transports' in log)
}

/** Copies the text of an error. Loggers also write other properties, and a client of a store may put keys there. */
function withoutProperties ({ name, message, stack, code }: NodeJS.ErrnoException): Error {
  return Object.assign(new Error(message), { name, stack }, code !== undefined && { code })
}
