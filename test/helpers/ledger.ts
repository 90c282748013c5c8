import { isDeepStrictEqual } from 'node:util'
import Fastify from 'fastify'
import type { Test } from 'tap'
import type { TicketKeys } from '../../lib/manager/ticket-keys.js'
import { REASONS, type RejectReason } from '../../lib/native/types.js'
import { addRoutes } from '../../lib/metrics/routes.js'
import { PROTOCOLS, type Exchange, type Protocol } from './client.js'
import type { Managed } from './managed.js'
import { changes, parseMetrics, type Metrics } from './metrics.js'
import type { Handshake, PlainServer } from './server.js'

/** What a step adds to the counters of one protocol version. Missing counters are 0. */
export interface Counts {
  /** finished full handshakes */
  full?: number
  /** finished handshakes that resumed from a ticket */
  resumed?: number
  /** finished handshakes that resumed by an external PSK or a session ID, not from a ticket */
  otherwise?: number
  issued?: number
  renewed?: number
  rejected?: Partial<Record<RejectReason, number>>
  /** age of the resumed tickets in seconds, by the manager's clock; default 0 */
  age?: number
}

export type Step = Partial<Record<Protocol, Counts>> & {
  /** changes of the current key */
  rotations?: number
}

/** How long a step may take on a busy machine. Tickets may be older than expected by this time. */
const MAX_STEP_SECONDS = 30
const AGE = 'tls_ticket_age_seconds'
const COUNTERS = /^tls_(ticket_(issued|renewed|resumed|rejected|key_rotations|key_reloads)_total|handshakes_total|ticket_age_seconds)/

/**
 * Compares four sources: what clients saw, the server's `isSessionReused()`, `stats()` and the metrics page. All must
 * be exactly equal, and nothing else may have changed.
 */
export class Ledger {
  readonly #test: Test
  readonly #manager: TicketKeys
  readonly #handshakes: Handshake[]
  readonly #metrics = Fastify()

  constructor (t: Test, { keys, handshakes }: Managed & PlainServer) {
    this.#test = t
    this.#manager = keys
    this.#handshakes = handshakes
    addRoutes(this.#metrics, keys, {}, false)
    t.teardown(async () => { await this.#metrics.close() })
  }

  /**
   * Runs an action, and checks that exactly the expected counters have changed. If the action returns exchanges, they
   * must match too.
   */
  async step<Result> (name: string, change: Step | (() => Step), action: () => Promise<Result>): Promise<Result> {
    const t = this.#test
    // The test may have moved the clock, so do not wait for the manager's timer.
    this.#manager.tick()
    const before = await this.page()
    const seen = this.#handshakes.length
    const result = await action()
    const after = await this.page()

    const expected = typeof change === 'function' ? change() : change
    const changed = changes(before, after)
    const counters = Object.fromEntries(Object.entries(changed).filter(([key]) => COUNTERS.test(key) && !key.startsWith(AGE)))
    const clients = [result].flat().filter(isExchange)
    const handshakes = handshakesOf(expected)
    t.strictSame({
      counters: sorted(counters),
      wrongAges: this.#wrongAges(expected, (key) => changed[key] ?? 0),
      server: tally(this.#handshakes.slice(seen)),
      clients: clients.length === 0 ? handshakes : tally(clients)
    }, { counters: sorted(series(expected)), wrongAges: [], server: handshakes, clients: handshakes }, name)
    return result
  }

  /** Fetches the metrics page from its route, and checks its counters against `stats()`. */
  async page (): Promise<Metrics> {
    const { body, statusCode } = await this.#metrics.inject('/metrics')
    if (statusCode !== 200) throw new Error(body)
    const page = parseMetrics(body)
    const counters = new Map([...page].filter(([key]) => COUNTERS.test(key) && !key.includes('_reloads_')))
    const stats = sorted(fromStats(this.#manager))
    if (!isDeepStrictEqual(sorted(Object.fromEntries(counters)), stats)) this.#test.strictSame(counters, stats, 'the page matches stats()')
    return page
  }

  /** The parts of the histogram whose growth does not match tickets of the expected ages. */
  #wrongAges (expected: Step, by: (key: string) => number): string[] {
    const counts = PROTOCOLS.map((protocol) => ({ resumed: 0, age: 0, ...expected[protocol] }))
    const add = (pick: (count: { resumed: number, age: number }) => number): number => counts.reduce((sum, count) => sum + pick(count), 0)
    const all = add(({ resumed }) => resumed)
    const least = add(({ resumed, age }) => resumed * age)
    const within = (key: string, from: number, to: number): string[] =>
      by(key) >= from && by(key) <= to ? [] : [`${key} grew by ${by(key)}, not by ${from} to ${to}`]
    return [
      ...within(`${AGE}_count`, all, all),
      ...within(`${AGE}_sum`, least - 0.01, least + MAX_STEP_SECONDS * all),
      ...this.#manager.stats().age.buckets.flatMap(({ le }) => within(`${AGE}_bucket{le="${le === Infinity ? '+Inf' : le}"}`,
        add(({ resumed, age }) => age + MAX_STEP_SECONDS <= le ? resumed : 0), add(({ resumed, age }) => age <= le ? resumed : 0)))
    ]
  }
}

/** The step of one full handshake. With a `reason`, the server first refuses a ticket. */
export function full (protocol: Protocol, reason?: RejectReason): Step {
  const refused = reason === undefined ? {} : { rejected: { [reason]: 1 } }
  return { [protocol]: { full: 1, issued: protocol === 'TLSv1.3' ? 2 : 1, ...refused } }
}

/** The step of one resumed handshake. TLS 1.3 always issues a new ticket, TLS 1.2 only if `renewed`. */
export function resumed (protocol: Protocol, { age = 0, renewed = false } = {}): Step {
  return { [protocol]: { resumed: 1, renewed: protocol === 'TLSv1.3' || renewed ? 1 : 0, age } }
}

/** The sum of several steps. Their tickets must have age 0. */
export function sum (...steps: Step[]): Step {
  const total: Step = {}
  for (const protocol of PROTOCOLS) {
    const counts = steps.flatMap((step) => step[protocol] ?? [])
    const add = (pick: (count: Counts) => number | undefined): number => counts.reduce((sum, count) => sum + (pick(count) ?? 0), 0)
    total.rotations = steps.reduce((sum, { rotations = 0 }) => sum + rotations, 0)
    total[protocol] = {
      full: add((count) => count.full),
      resumed: add((count) => count.resumed),
      otherwise: add((count) => count.otherwise),
      issued: add((count) => count.issued),
      renewed: add((count) => count.renewed),
      rejected: Object.fromEntries(REASONS.map((reason) => [reason, add((count) => count.rejected?.[reason])]))
    }
  }
  return total
}

/** The growth of each series on the metrics page in a step. */
function series (step: Step): Record<string, number> {
  const grown: Array<[string, number]> = PROTOCOLS.flatMap((protocol) => {
    const { full = 0, resumed = 0, otherwise = 0, issued = 0, renewed = 0, rejected = {} } = step[protocol] ?? {}
    return [
      [`tls_handshakes_total{protocol="${protocol}",resumed="false"}`, full],
      [`tls_handshakes_total{protocol="${protocol}",resumed="true"}`, resumed + otherwise],
      [`tls_ticket_resumed_total{protocol="${protocol}"}`, resumed],
      [`tls_ticket_issued_total{protocol="${protocol}"}`, issued],
      [`tls_ticket_renewed_total{protocol="${protocol}"}`, renewed],
      ...Object.entries(rejected).map(([reason, count]): [string, number] => [
        `tls_ticket_rejected_total{protocol="${protocol}",reason="${reason}"}`,
        count
      ])
    ]
  })
  grown.push(['tls_ticket_key_rotations_total', step.rotations ?? 0])
  return Object.fromEntries(grown.filter(([, by]) => by !== 0))
}

/** The counters of the metrics page, from `stats()`. */
function fromStats (manager: TicketKeys): Record<string, number> {
  const { issued, renewed, resumed, rejected, handshakes, age, rotations } = manager.stats()
  const found: Record<string, number> = { tls_ticket_key_rotations_total: rotations, [`${AGE}_sum`]: age.sum, [`${AGE}_count`]: age.count }
  for (const protocol of PROTOCOLS) {
    found[`tls_ticket_issued_total{protocol="${protocol}"}`] = issued[protocol]
    found[`tls_ticket_renewed_total{protocol="${protocol}"}`] = renewed[protocol]
    found[`tls_ticket_resumed_total{protocol="${protocol}"}`] = resumed[protocol]
    found[`tls_handshakes_total{protocol="${protocol}",resumed="false"}`] = handshakes[protocol].full
    found[`tls_handshakes_total{protocol="${protocol}",resumed="true"}`] = handshakes[protocol].resumed
    for (const reason of REASONS) found[`tls_ticket_rejected_total{protocol="${protocol}",reason="${reason}"}`] = rejected[protocol][reason]
  }
  let cumulative = 0
  for (const { le, count } of age.buckets) {
    cumulative += count
    found[`${AGE}_bucket{le="${le === Infinity ? '+Inf' : le}"}`] = cumulative
  }
  return found
}

/** Counts handshakes by protocol version and by whether they resumed. */
function tally (handshakes: Array<Pick<Handshake, 'protocol' | 'reused'>>): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { protocol, reused } of handshakes) {
    const kind = `${protocol} ${reused ? 'resumed' : 'full'}`
    counts[kind] = (counts[kind] ?? 0) + 1
  }
  return sorted(counts)
}

function handshakesOf (step: Step): Record<string, number> {
  const counts = PROTOCOLS.flatMap((protocol): Array<[string, number]> => {
    const { full = 0, resumed = 0, otherwise = 0 } = step[protocol] ?? {}
    return [[`${protocol} full`, full], [`${protocol} resumed`, resumed + otherwise]]
  })
  return sorted(Object.fromEntries(counts.filter(([, count]) => count !== 0)))
}

function sorted (record: Record<string, number>): Record<string, number> {
  return Object.fromEntries(Object.entries(record).sort(([a], [b]) => a < b ? -1 : 1))
}

function isExchange<Value> (value: Value): value is Value & Exchange {
  return typeof value === 'object' && value !== null && 'reused' in value && 'protocol' in value
}
