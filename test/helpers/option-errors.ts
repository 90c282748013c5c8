import { inspect } from 'node:util'
import type { Test } from 'tap'
import ticketKeys from '../../lib/index.js'
import { resolveOptions, type TicketKeysOptions } from '../../lib/config/options.js'
import { makeApp } from './app.js'

/** Part of every wrong value. No error may contain it, because errors must not show values. */
export const MARK = 'ReCoGnIzAbLe'

/** Returns the error that wrong options cause. */
export function errorOf (options: unknown): Error & { code: string } {
  const given = String(options) === '[object Object]' ? { environment: false, ...options as object } : options
  try {
    resolveOptions(given as TicketKeysOptions)
  } catch (error) {
    return error as Error & { code: string }
  }
  throw new Error(`taken: ${inspect(options)}`)
}

/** Returns the separate faults in a message. */
export function faultsOf ({ message }: Error): string[] {
  return message.replace(/^ticket keys: /, '').split('; ')
}

/** Checks that register rejects and leaves the server unchanged. Returns the error. */
export async function refused (t: Test, options: unknown): Promise<Error & { code: string }> {
  const { app, log } = await makeApp()
  t.teardown(() => app.close())
  const { server } = app
  const traces = (): unknown[] => [
    Object.getOwnPropertyNames(server),
    server.listenerCount('secureConnection'),
    app.hasDecorator('ticketKeys'),
    app.hasRequestDecorator('tlsSession'),
    app.hasRoute({ method: 'GET', url: '/metrics' })
  ]
  const before = traces()
  let found: unknown
  await t.rejects(async () => {
    try {
      await app.register(ticketKeys, { environment: false, ...options as TicketKeysOptions })
    } catch (error) {
      found = error
      throw error
    }
  })
  t.strictSame(traces(), before, 'the server is unchanged')
  t.same(log(), [])
  return found as Error & { code: string }
}

/** What errors about durations require. */
export const DURATION = "must be milliseconds as a number, or a string such as '90s', '15m', '12h' or '7d'"
