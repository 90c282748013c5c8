import { describe, fixed, gaveUp, latest, series, singleUse } from './ticket-store.js'
import type { Attempt, Connect } from './ticket-store.js'
import type { Protocol, ProbeResult, Tally } from './report.js'

// OpenSSL's error code for the alert protocol_version (RFC 8446 section 6.2).
const WRONG_VERSION = 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION'

/** The part of a result that comes from connections. */
export type Measurement = Omit<ProbeResult, 'host' | 'address' | 'port' | 'servername' | 'protocol'>

/**
 * Runs the three series of connections, at most `3 × connections` in total, and summarizes them. A rejected `connect`
 * is part of the result.
 */
export async function measure (
  connect: Connect, protocol: Protocol, connections: number, onSeries: (name: string) => void
): Promise<Measurement> {
  onSeries('each ticket once')
  const once = await series(connect, connections, singleUse())
  if (gaveUp(once)) return sumUp(protocol, once, [], [])
  onSeries('the newest ticket')
  const last = await series(connect, connections, latest())
  if (gaveUp(last)) return sumUp(protocol, once, last, [])
  onSeries('the same ticket')
  return sumUp(protocol, once, last, await series(connect, connections, fixed()))
}

/** The measurement of an address to which no connection was made. */
export function unreachable (protocol: Protocol, error: Error): Measurement {
  return sumUp(protocol, [{ error }], [], [])
}

function sumUp (protocol: Protocol, once: Attempt[], last: Attempt[], one: Attempt[]): Measurement {
  const all = [...once, ...last, ...one]
  const done = all.flatMap(({ handshake }) => handshake ?? [])
  const full = done.filter(({ resumed }) => !resumed)
  const resumed = done.filter(({ resumed }) => resumed)
  const issued = full.flatMap(({ tickets }) => tickets)[0]
  const renewed = resumed.flatMap(({ tickets }) => tickets)[0]
  const status = statusOf(once, last, one)
  const tallies = { usedOnce: tally(once), newest: tally(last), same: tally(one) }
  const failed = all.flatMap(({ error }) => error ?? []).at(-1)
  // A TLS 1.2 server renews a ticket only when its key is old, if at all. TLS 1.2 clients therefore
  // reuse their tickets.
  const judged = protocol === 'TLSv1.3' ? tallies.usedOnce : tallies.newest
  return {
    status,
    error: failed === undefined ? null : describe(failed),
    ticketsPerFullHandshake: average(full.map(({ tickets }) => tickets.length)),
    ticketsPerResumption: average(resumed.map(({ tickets }) => tickets.length)),
    renewal: renewalOf(resumed.filter(({ tickets }) => tickets.length > 0).length, resumed.length),
    lifetimeHint: issued?.lifetimeHint ?? null,
    renewedLifetimeHint: renewed?.lifetimeHint ?? null,
    ticketBytes: issued?.bytes.length ?? null,
    ...tallies,
    sameTicketTwice: acceptedTwice(one),
    ok: status === 'probed' && failed === undefined && judged.resumed === judged.connections - 1
  }
}

function statusOf (once: Attempt[], last: Attempt[], one: Attempt[]): ProbeResult['status'] {
  const first: NodeJS.ErrnoException | undefined = once[0]?.error
  if (first !== undefined && once.length === 1) return first.code === WRONG_VERSION ? 'unsupported' : 'unreachable'
  return [once, last, one].some(gaveUp) ? 'broken off' : 'probed'
}

function tally (attempts: Attempt[]): Tally {
  const done = attempts.flatMap(({ handshake }) => handshake ?? [])
  const resumed = done.filter(({ resumed }) => resumed).length
  return {
    connections: attempts.length,
    resumed,
    full: done.length - resumed,
    failed: attempts.length - done.length,
    share: attempts.length === 0 ? 0 : resumed / attempts.length
  }
}

function average (counts: number[]): number | null {
  return counts.length === 0 ? null : counts.reduce((sum, count) => sum + count, 0) / counts.length
}

function renewalOf (renewed: number, resumed: number): ProbeResult['renewal'] {
  if (resumed === 0) return null
  if (renewed === 0) return 'never'
  return renewed === resumed ? 'always' : 'sometimes'
}

function acceptedTwice (attempts: Attempt[]): boolean | null {
  const first = attempts.findIndex(({ handshake }) => handshake?.resumed === true)
  const later = attempts.slice(first + 1)
  if (first < 0 || later.length === 0) return null
  return later.some(({ handshake }) => handshake?.resumed === true)
}
