import type { Test } from 'tap'
import { Ledger } from './ledger.js'
import { serve } from './managed.js'
import { plainHttps } from './server.js'

/** A server with a manager and a ledger of its counters. */
export type Served = Awaited<ReturnType<typeof serve>> & { ledger: Ledger }

/** Starts such a server with the given TLS options. */
export async function start (t: Test, options: Parameters<typeof plainHttps>[0] = {}): Promise<Served> {
  const served = await serve(t, {}, () => plainHttps(options))
  return { ...served, ledger: new Ledger(t, served) }
}
