import {
  connect, connectH2, flipBit, hangUp, PROTOCOLS, sessionTicket, withTicket, type ConnectOptions, type Exchange
} from '../../test/helpers/client.js'
import { sendHello } from '../../test/helpers/hello.js'
import type { RejectReason } from '../../lib/native/types.js'
import type { Client, Group, Target } from './group.js'
import type { Seen } from './host.js'
import type { Random } from './random.js'
import { TIME_REASONS, type Verdict } from './session.js'

/** The server examines at most this many tickets of a ClientHello. */
const MAX_TICKETS = 4

/** A client leaves a handshake only with a ticket whose fate is certain for this time. */
const LEAVE_MARGIN_MS = 20_000

/** Something that went against an expectation. */
export class CheckFailed extends Error {}

/** Makes one connection of some kind to a server of the group, and adds it to the tally. */
export async function makeConnection (group: Group, random: Random): Promise<void> {
  const kind = random.below(20)
  const client = random.pick(group.clients)
  await group.withTarget(random, async (target) => {
    if (kind < 15) await visit(group, client, target, random)
    else if (kind < 17) await offerForged(group, client, target, random)
    else if (kind < 19) await leave(group, client, target, random)
    else await offerMany(group, target, random)
  })
}

/** An ordinary visit, with a ticket if the client has one. */
export async function visit (group: Group, client: Client, target: Target, random: Random, firstAfterStep = false): Promise<void> {
  const session = random.below(5) === 0 ? undefined : group.pick(random, client, random.below(2) === 0)
  const before = session === undefined ? null : group.verdict(session)
  const offered = before === null ? undefined : session
  const protocol = offered?.protocol ?? random.pick(PROTOCOLS)
  const exchange = await exchangeWith(target, { ...optionsOf(client), port: target.port, protocol, session: offered?.bytes })
  checkVisit(group, client, exchange, firstAfterStep)
  const { tally } = group
  if (offered !== undefined) {
    tally.of(protocol).offered++
    // An event may have changed the server's answer meanwhile.
    const after = group.verdict(offered)
    checkResumption(group, client, exchange, before, after)
    if (!exchange.reused) tally.refused(protocol, reasonsOf(before, after))
  } else if (exchange.reused) {
    throw new CheckFailed(`${where(group, client, exchange)}: resumed without a ticket`)
  }
  group.keep(client, exchange, exchange.reused ? offered : undefined)
}

/** A visit with a ticket that the server must refuse. */
async function offerForged (group: Group, client: Client, target: Target, random: Random): Promise<void> {
  const session = group.pick(random, client, false)
  if (session === undefined) return await visit(group, client, target, random)
  const { bytes, protocol } = session
  const byName = sessionTicket(bytes).subarray(0, 16)
  const { keyNames } = group.rules
  const [forged, reasons]: [Buffer, RejectReason[]] = random.pick([
    [flipBit(bytes, random.below(16)), ['unknown_key']],
    // The key of the ticket may have ended.
    [flipBit(bytes, -1 - random.below(32)), ['bad_ticket', 'expired_key', 'unknown_key']],
    [withTicket(bytes, random.bytes(1 + random.below(300))), ['unknown_key']],
    [withTicket(bytes, Buffer.concat([byName, random.bytes(200)])), ['bad_ticket', 'expired_key', 'unknown_key']]
  ])
  const sure: RejectReason[] = keyNames?.includes(session.keyName) === true ? reasons.slice(0, 1) : reasons
  const exchange = await exchangeWith(target, { ...optionsOf(client), port: target.port, protocol, session: forged })
  checkVisit(group, client, exchange, false)
  group.tally.of(protocol).offered++
  if (exchange.reused) throw new CheckFailed(`${where(group, client, exchange)}: resumed from a forged ticket`)
  group.tally.refused(protocol, sure)
  group.keep(client, exchange)
}

/** Leaves a handshake before its end, with or without a ticket. */
async function leave (group: Group, client: Client, target: Target, random: Random): Promise<void> {
  const session = random.below(3) === 0 ? undefined : group.pick(random, client, random.below(2) === 0)
  const expected = session === undefined ? null : group.verdict(session, LEAVE_MARGIN_MS)
  const offered = expected === null ? undefined : session
  const protocol = offered?.protocol ?? random.pick(PROTOCOLS)
  const stage = random.pick(['client-hello', 'server-hello'] as const)
  await hangUp(stage, { ...optionsOf(client), port: target.port, protocol, session: offered?.bytes })
  if (expected === null) return
  const counts = group.tally.of(protocol)
  counts.offered++
  if (expected !== 'resumes') {
    group.tally.refused(protocol, expected)
  } else {
    counts.aborted++
    if (protocol === 'TLSv1.2') counts.maybeRenewed++
  }
}

/** A ClientHello that no TLS library would send, with many bad tickets. */
async function offerMany (group: Group, target: Target, random: Random): Promise<void> {
  const bad = (): Buffer => random.bytes(1 + random.below(300))
  if (random.below(3) === 0) {
    await sendHello(target.port, { protocol: 'TLSv1.2', ticket: bad() })
    group.tally.of('TLSv1.2').offered++
    group.tally.refused('TLSv1.2', ['unknown_key'])
    return
  }
  const identities = Array.from({ length: 1 + random.below(30) }, () => ({ ticket: bad() }))
  const { identity } = await sendHello(target.port, { protocol: 'TLSv1.3', identities })
  if (identity !== undefined) throw new CheckFailed(`${group.name}: the server accepted a random ticket`)
  for (let i = 0; i < Math.min(MAX_TICKETS, identities.length); i++) {
    group.tally.of('TLSv1.3').offered++
    group.tally.refused('TLSv1.3', ['unknown_key'])
  }
}

function optionsOf ({ servername, pair }: Client): Partial<ConnectOptions> {
  return { ...pair, ...servername !== undefined && { servername } }
}

async function exchangeWith (target: Target, options: ConnectOptions): Promise<Exchange> {
  return target.http2 ? await connectH2(options) : await connect(options)
}

/** Counts a finished handshake and its tickets, and checks what does not depend on the ticket that was offered. */
function checkVisit (group: Group, client: Client, exchange: Exchange, firstAfterStep: boolean): void {
  const { reused, protocol, tickets, status, body } = exchange
  const counts = group.tally.of(protocol)
  counts[reused ? 'resumed' : 'full']++
  counts[reused ? 'renewed' : 'issued'] += tickets.length
  const what = where(group, client, exchange)
  if (status !== 200) throw new CheckFailed(`${what}: the answer has status ${status}`)
  const seen = JSON.parse(body) as Seen
  if (seen.reused !== reused) throw new CheckFailed(`${what}: the client says reused=${reused}, the server ${seen.reused}`)
  if (seen.peer !== client.peer) throw new CheckFailed(`${what}: the server took ${client.peer} for ${seen.peer}`)
  const full = client.getsTickets ? protocol === 'TLSv1.3' ? 2 : 1 : 0
  // A renewed TLS 1.2 ticket comes only if there is a newer key.
  const right = reused ? protocol === 'TLSv1.2' ? tickets.length <= 1 : tickets.length === 1 : tickets.length === full
  if (right || firstAfterStep) return
  throw new CheckFailed(`${what}: ${tickets.length} tickets came with a ${reused ? 'resumed' : 'full'} handshake`)
}

function checkResumption (group: Group, client: Client, exchange: Exchange, before: Verdict, after: Verdict): void {
  const may = before === 'resumes' || after === 'resumes' || after === null
  const must = before === 'resumes' && after === 'resumes'
  const what = where(group, client, exchange)
  if (must && !exchange.reused) throw new CheckFailed(`${what}: a session that should resume did not`)
  if (exchange.reused && !may) throw new CheckFailed(`${what}: a session resumed that should be refused (${String(before)})`)
}

function reasonsOf (before: Verdict, after: Verdict): RejectReason[] {
  const both = [before, after].flatMap((verdict) => verdict === 'resumes' ? [] : verdict ?? TIME_REASONS)
  return [...new Set(both)]
}

function where (group: Group, client: Client, { protocol, alpn }: Exchange): string {
  return `group ${group.name}, client ${client.name}, ${protocol}, ${alpn === 'h2' ? 'HTTP/2' : 'HTTP/1.1'}`
}
