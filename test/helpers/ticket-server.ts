import { randomBytes } from 'node:crypto'
import type { Test } from 'tap'
import type { Clock } from '../../lib/util/clock.js'
import type { KeyTimes } from '../../lib/keys/key.js'
import type { RejectReason } from '../../lib/native/types.js'
import type { TicketKeysOptions } from '../../lib/config/options.js'
import type { StaticKeyParts } from '../../lib/sources/static.js'
import { connect, ticketKeyName, type ConnectOptions, type Protocol } from './client.js'
import { full, Ledger, resumed } from './ledger.js'
import { serve } from './managed.js'
import { plainHttps } from './server.js'

/** A server with a manager and a ledger of its counters. */
export type Served = Awaited<ReturnType<typeof serve>> & { ledger: Ledger }

/** Starts such a server. */
export async function start (t: Test, options: TicketKeysOptions, clock?: Clock): Promise<Served> {
  const served = await serve(t, options, plainHttps, clock)
  return { ...served, ledger: new Ledger(t, served) }
}

/** A static source with one key, which several servers can share. 48 bytes have Node.js's own layout. */
export function oneKey (bytes = randomBytes(80)): Pick<TicketKeysOptions, 'source'> {
  return { source: { type: 'static', keys: [bytes] } }
}

/** A random static key with times. */
export function timed (times: Partial<KeyTimes>): StaticKeyParts {
  return { name: randomBytes(16), aesKey: randomBytes(32), hmacKey: randomBytes(32), ...times }
}

/** Makes a full handshake, checks its counters, and returns its session with a ticket. */
export async function issue ({ ledger, port }: Served, protocol: Protocol, options: Partial<ConnectOptions> = {}): Promise<Buffer> {
  const { session } = await ledger.step('a full handshake', full(protocol), () => connect({ port, protocol, ...options }))
  return session as Buffer
}

/** Checks that a ticket is refused for a reason: the client gets a full handshake, and a new ticket that resumes. */
export async function refused (
  t: Test,
  { ledger, port }: Served,
  reason: RejectReason,
  options: Partial<ConnectOptions> & { protocol: Protocol, session: Buffer }
): Promise<void> {
  const { protocol } = options
  const { session, tickets } = await ledger.step(reason, full(protocol, reason), () => connect({ port, ...options }))
  t.equal(tickets.length, protocol === 'TLSv1.3' ? 2 : 1, `${reason}: new tickets`)
  await ledger.step('the ticket after a refused ticket', resumed(protocol), () =>
    connect({ port, ...options, session })
  )
}

/** Returns the id of the key that encrypted a session's ticket. */
export function keyOf (session: Buffer | undefined): string {
  return ticketKeyName(session as Buffer).toString('hex', 0, 4)
}
