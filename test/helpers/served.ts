import type { Server } from 'node:tls'
import type { Test } from 'tap'
import type { Exchange, Protocol } from './client.js'
import { full, Ledger, resumed } from './ledger.js'
import { serve, type Managed } from './managed.js'
import { plainHttps, type PlainServer } from './server.js'

/** A server of any kind, with a manager and a ledger of its counters. */
export type Served = Managed & PlainServer<Server> & { ledger: Ledger }

/** Starts such a server. */
export async function start (t: Test, plain: () => Promise<PlainServer<Server>> = plainHttps): Promise<Served> {
  const served = await serve(t, {}, plain)
  return { ...served, ledger: new Ledger(t, served) }
}

/** Makes a connection that must resume. */
export async function resumes ({ ledger }: Served, protocol: Protocol, via: () => Promise<Exchange>): Promise<Exchange> {
  return await ledger.step('a ticket that resumes', resumed(protocol), via)
}

/** Makes a connection that must be a full handshake with a ticket. */
export async function issues (
  { ledger }: Served, protocol: Protocol, via: () => Promise<Exchange>
): Promise<Exchange & { session: Buffer }> {
  const exchange = await ledger.step('a full handshake', full(protocol), via)
  return { ...exchange, session: exchange.session as Buffer }
}
