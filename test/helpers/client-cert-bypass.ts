import { randomBytes } from 'node:crypto'
import type { Server } from 'node:https'
import type { TlsOptions } from 'node:tls'
import type { Test } from 'tap'
import type { TicketKeys } from '../../lib/manager/ticket-keys.js'
import { REASONS } from '../../lib/native/types.js'
import type { RejectReason } from '../../lib/native/types.js'
import type { TicketKeysOptions } from '../../lib/config/options.js'
import type { ConnectOptions, Protocol } from './connect.js'
import { manage } from './managed.js'
import { mutualServer, visit } from './mutual.js'
import type { Outcome } from './mutual.js'

/** The reason why the package refuses the ticket; or 'none' if it issues no ticket. */
export type RejectOutcome = RejectReason | 'none'

/**
 * A bypass of the client certificate check. A ticket is issued, and then presented to another server or after a change.
 * On plain Node.js, the result differs from that of a full handshake.
 */
export interface BypassCase {
  /** options of the server that issues the ticket */
  made: TlsOptions
  /** changes this server before it issues the ticket */
  prepare?: (server: Server) => void
  /** options of the server to which the ticket is presented; default: the same server */
  shown?: TlsOptions
  /** changes that server before the ticket is presented */
  change?: (server: Server) => void
  client: Partial<ConnectOptions>
  /** other client options while it presents the ticket */
  clientShows?: Partial<ConnectOptions>
  protocols?: readonly Protocol[]
  options?: TicketKeysOptions
  /** the outcome of a full handshake at that time */
  full: Outcome
  /** the outcome of the ticket on plain Node.js */
  open: (protocol: Protocol) => Outcome
  reason: RejectOutcome | Record<Protocol, RejectOutcome>
}

/**
 * Checks that the bypass works on plain Node.js. Under a manager, the ticket must have the same outcome as a full
 * handshake.
 */
export async function assertBypassClosed (t: Test, bypass: BypassCase, protocol: Protocol): Promise<void> {
  const plain = await issueAndPresent(bypass, protocol, () => {}, { ticketKeys: randomBytes(48), sessionIdContext: 'shared' })
  t.strictSame(plain.full, bypass.full, 'a full handshake')
  t.strictSame(plain.shown, bypass.open(protocol), 'the ticket, plain Node.js')

  const reason = typeof bypass.reason === 'string' ? bypass.reason : bypass.reason[protocol]
  const source = { type: 'static' as const, keys: [randomBytes(80)] }
  const managers: TicketKeys[] = []
  const closed = await issueAndPresent(bypass, protocol, async (server) => {
    const { keys } = await manage(t, { source, ...bypass.options })
    managers.push(keys.attach(server))
  }, { sessionIdContext: 'shared' })
  t.strictSame(closed.full, bypass.full, 'a full handshake, managed')
  t.strictSame(closed.shown, bypass.full, 'the ticket, managed')
  t.equal(closed.tickets, reason === 'none' ? 0 : protocol === 'TLSv1.3' ? 2 : 1)
  const stats = managers.map((keys) => keys.stats())
  const rejected = REASONS.map((each) => [each, stats.reduce((sum, { rejected }) => sum + rejected[protocol][each], 0)])
  t.strictSame(rejected.filter(([, count]) => count !== 0), reason === 'none' ? [] : [[reason, 1]])
  t.ok(stats.every(({ resumed }) => resumed[protocol] === 0))
}

/** Gets a ticket, makes a full handshake, and then presents the ticket. */
async function issueAndPresent (
  { made, prepare, shown, change, client, clientShows }: BypassCase,
  protocol: Protocol,
  attach: (server: Server) => unknown,
  options?: TlsOptions
): Promise<{ tickets: number, full: Outcome, shown: Outcome }> {
  const first = await mutualServer({ ...made, ...options })
  prepare?.(first.server)
  await attach(first.server)
  const { session, tickets } = await visit({ port: first.port, protocol, ...client })
  const second = shown === undefined ? first : await mutualServer({ ...shown, ...options })
  if (second !== first) await attach(second.server)
  change?.(second.server)
  const next = { port: second.port, protocol, ...client, ...clientShows }
  const { outcome: full } = await visit(next)
  const { outcome } = await visit({ ...next, session })
  return { tickets: tickets.length, full, shown: outcome }
}
