import { addon } from '../native/binding.js'
import { CONDITIONS, PROTOCOLS, REASONS, type Protocol, type RejectReason, type RevocationCondition } from '../native/types.js'

/** Results of loading keys from the source. */
export const RELOAD_RESULTS = ['success', 'unchanged', 'error'] as const
export type ReloadResult = typeof RELOAD_RESULTS[number]

/** A count for each TLS version that has tickets. */
export type ByProtocol = Record<Protocol, number>

/**
 * Counts since the manager was made. With the source `shared`, all threads of the process share the counts of tickets
 * and handshakes.
 */
export interface TicketStats {
  issued: ByProtocol
  renewed: ByProtocol
  resumed: ByProtocol
  rejected: Record<Protocol, Record<RejectReason, number>>
  handshakes: Record<Protocol, { full: number, resumed: number }>
  /** ages of resumed tickets in seconds; a bucket counts ages up to its `le` and above the previous bucket's `le` */
  age: { buckets: Array<{ le: number, count: number }>, sum: number, count: number }
  /** calls of `revokeSessions`, by the first condition given */
  revocations: Record<RevocationCondition, number>
  rotations: number
  reloads: Record<ReloadResult, number>
}

/** Returns statistics with all counts zero, for a manager without the addon. */
export function emptyStats (): TicketStats {
  const zeros = <Value>(value: () => Value): Record<Protocol, Value> =>
    Object.fromEntries(PROTOCOLS.map((protocol) => [protocol, value()])) as Record<Protocol, Value>
  const zero = (): number => 0
  return {
    issued: zeros(zero),
    renewed: zeros(zero),
    resumed: zeros(zero),
    rejected: zeros(() => Object.fromEntries(REASONS.map((reason) => [reason, 0])) as Record<RejectReason, number>),
    handshakes: zeros(() => ({ full: 0, resumed: 0 })),
    age: { buckets: [{ le: Infinity, count: 0 }], sum: 0, count: 0 },
    revocations: byCondition(zero),
    rotations: 0,
    reloads: { success: 0, unchanged: 0, error: 0 }
  }
}

/** Reads the addon's counters, which are in the order of native/keys/counters.h. */
export function readCounters (read: (out: Float64Array) => void): Omit<TicketStats, 'rotations' | 'reloads'> {
  const { counterCount, ageBounds } = addon()
  const counts = new Float64Array(counterCount)
  read(counts)
  let next = 0
  const take = (): number => counts[next++] as number
  const byProtocol = <Value>(value: () => Value): Record<Protocol, Value> =>
    Object.fromEntries(PROTOCOLS.map((protocol) => [protocol, value()])) as Record<Protocol, Value>

  const issued = byProtocol(take)
  const renewed = byProtocol(take)
  const resumed = byProtocol(take)
  const rejected = byProtocol(() =>
    Object.fromEntries(REASONS.map((reason) => [reason, take()])) as Record<RejectReason, number>)
  const handshakes = byProtocol(() => ({ full: take(), resumed: take() }))
  const buckets = [...ageBounds, Infinity].map((le) => ({ le, count: take() }))
  const count = buckets.reduce((sum, bucket) => sum + bucket.count, 0)
  const age = { buckets, sum: take() / 1000, count }
  return { issued, renewed, resumed, rejected, handshakes, age, revocations: byCondition(take) }
}

function byCondition (value: () => number): Record<RevocationCondition, number> {
  return Object.fromEntries(CONDITIONS.map((condition) => [condition, value()])) as Record<RevocationCondition, number>
}
