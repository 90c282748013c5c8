import { randomBytes } from 'node:crypto'
import { resolveOptions, type ResolvedOptions, type TicketKeysOptions } from '../../lib/config/options.js'

/** A secret that is long enough. */
export const SECRET = randomBytes(32).toString('base64')

/** Resolves the options of an environment, and of code. */
export function resolve (data: NodeJS.ProcessEnv, options: TicketKeysOptions = {}): ResolvedOptions {
  return resolveOptions({ environment: { data }, ...options })
}

/** The error that an environment causes. */
export function errorOf (data: NodeJS.ProcessEnv, options?: TicketKeysOptions): { code?: string, message: string } {
  try {
    resolve(data, options)
  } catch (error) {
    return error as Error
  }
  return { message: 'no error' }
}
