/** Where messages go: Fastify's logger fits. Nothing that is logged ever has key material in it. */
export interface Log {
  info (message: string): void
  warn (message: string): void
  error (message: string): void
}

/** Without a logger, warnings are Node.js warnings, so that they are seen; `info` is dropped. */
export const processLog: Log = {
  info () {},
  warn (message) { process.emitWarning(message, { type: 'TicketKeysWarning' }) },
  error (message) { process.emitWarning(message, { type: 'TicketKeysError' }) }
}

export function isLog (value: unknown): value is Log {
  const log = value as Partial<Log> | null
  return [log?.info, log?.warn, log?.error].every((method) => typeof method === 'function')
}
