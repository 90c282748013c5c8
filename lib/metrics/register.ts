import { Counter, Gauge, Histogram, Registry, type Aggregator, type MetricType, type RegistryContentType } from 'prom-client'
import type { TicketKeys } from '../manager/ticket-keys.js'
import { PROTOCOLS, REASONS, type Protocol } from '../native/types.js'
import { RELOAD_RESULTS, type TicketStats } from '../manager/stats.js'

const AGE = 'tls_ticket_age_seconds'
const AGE_HELP = 'Age of session tickets that resumed'

type HistogramValue = Awaited<ReturnType<Histogram['get']>>['values'][number]

/**
 * A histogram whose buckets come from the addon: prom-client's own only observes. Registries read `get`, or `getForPromString` where there is one.
 */
class AgeHistogram extends Histogram {
  readonly #manager: TicketKeys

  constructor (manager: TicketKeys) {
    super({ name: AGE, help: AGE_HELP, registers: [] })
    this.#manager = manager
  }

  override async get (): ReturnType<Histogram['get']> {
    const { buckets, sum, count } = this.#manager.stats().age
    const values: HistogramValue[] = []
    let cumulative = 0
    for (const bucket of buckets) {
      cumulative += bucket.count
      values.push({ metricName: `${AGE}_bucket`, labels: { le: bucket.le === Infinity ? '+Inf' : bucket.le }, value: cumulative })
    }
    values.push({ metricName: `${AGE}_sum`, labels: {}, value: sum }, { metricName: `${AGE}_count`, labels: {}, value: count })
    // No `collect`, which prom-client's type asks for and its own metrics don't give: a cluster worker sends this, and a function can't be sent.
    const histogram = { name: AGE, help: AGE_HELP, type: 'histogram' as unknown as MetricType, aggregator: 'sum' as const, values }
    return histogram as Awaited<ReturnType<Histogram['get']>>
  }

  async getForPromString (): ReturnType<Histogram['get']> {
    return await this.get()
  }
}

/** A registry of the manager's metrics in one content type. */
export function metricsRegistry (manager: TicketKeys, contentType: 'text' | 'openmetrics'): Registry<RegistryContentType> {
  const registry = new Registry<RegistryContentType>()
  registry.setContentType(contentType === 'text' ? Registry.PROMETHEUS_CONTENT_TYPE : Registry.OPENMETRICS_CONTENT_TYPE)
  registerMetrics(manager, registry as Registry)
  return registry
}

/**
 * Puts the manager's metrics into a registry; their values are read when it is. Throws where it has metrics of these names. Each says how
 * prom-client's AggregatorRegistry makes one of it out of a cluster's workers: counts of what a worker did are added up, the keys, which are
 * the same in all, are not.
 */
export function registerMetrics (manager: TicketKeys, registry: Registry): void {
  // Registered one by one: a constructor that registers would be called for its side effect.
  const registers: Registry[] = []
  const counter = (name: string, help: string, labelNames: string[], collect: (set: (labels: Record<string, string>, value: number) => void, stats: TicketStats) => void, aggregator: Aggregator = 'sum'): void => {
    registry.registerMetric(new Counter({
      name,
      help,
      labelNames,
      registers,
      aggregator,
      collect () {
        // A counter of prom-client's can't be set: emptied and filled in one go, it is never seen in between.
        this.reset()
        collect((labels, value) => this.inc(labels, value), manager.stats())
      }
    }))
  }
  const gauge = (name: string, help: string, labelNames: string[], aggregator: Aggregator, collect: (set: (labels: Record<string, string>, value: number) => void) => void): void => {
    registry.registerMetric(new Gauge({
      name,
      help,
      labelNames,
      registers,
      aggregator,
      collect () {
        this.reset()
        if (labelNames.length === 0) this.remove()
        collect((labels, value) => this.set(labels, value))
      }
    }))
  }
  const byProtocol = (name: string, help: string, pick: (stats: TicketStats) => Record<Protocol, number>): void => {
    counter(name, help, ['protocol'], (set, stats) => { for (const protocol of PROTOCOLS) set({ protocol }, pick(stats)[protocol]) })
  }

  byProtocol('tls_ticket_issued_total', 'Session tickets made in full handshakes', (stats) => stats.issued)
  byProtocol('tls_ticket_renewed_total', 'Session tickets made in resumed handshakes', (stats) => stats.renewed)
  byProtocol('tls_ticket_resumed_total', 'Finished handshakes that resumed from a session ticket', (stats) => stats.resumed)
  counter('tls_ticket_rejected_total', 'Session tickets that were offered and refused', ['protocol', 'reason'], (set, stats) => {
    for (const protocol of PROTOCOLS) {
      for (const reason of REASONS) set({ protocol, reason }, stats.rejected[protocol][reason])
    }
  })
  counter('tls_handshakes_total', 'Finished TLS handshakes', ['protocol', 'resumed'], (set, stats) => {
    for (const protocol of PROTOCOLS) {
      set({ protocol, resumed: 'true' }, stats.handshakes[protocol].resumed)
      set({ protocol, resumed: 'false' }, stats.handshakes[protocol].full)
    }
  })
  registry.registerMetric(new AgeHistogram(manager))
  gauge('tls_ticket_keys', 'Session ticket keys held', ['state'], 'max', (set) => {
    const counts = { next: 0, current: 0, previous: 0 }
    for (const key of manager.status().keys) counts[key.state]++
    for (const [state, count] of Object.entries(counts)) set({ state }, count)
  })
  gauge('tls_ticket_key_info', 'Session ticket keys by the first 8 hex digits of their public name', ['key_id', 'state'], 'max', (set) => {
    for (const key of manager.status().keys) set({ key_id: key.id, state: key.state }, 1)
  })
  gauge('tls_ticket_keys_managed', 'Whether this package manages the session tickets: 0 where the option optional leaves them to Node.js', [], 'min', (set) => {
    set({}, manager.status().managed ? 1 : 0)
  })
  gauge('tls_ticket_keys_stale', 'Whether no key could issue now, or a list of keys without times is older than it should be', [], 'max', (set) => {
    set({}, manager.status().stale ? 1 : 0)
  })
  gauge('tls_ticket_current_key_age_seconds', 'For how long the current key has been issuing tickets', [], 'max', (set) => {
    const age = manager.currentKeyAge()
    if (age !== null) set({}, age / 1000)
  })
  gauge('tls_ticket_next_rotation_timestamp_seconds', 'When the current key changes next', [], 'min', (set) => {
    const { nextRotation } = manager.status()
    if (nextRotation !== null) set({}, nextRotation / 1000)
  })
  counter('tls_ticket_key_rotations_total', 'Changes of the current key', [], (set, stats) => set({}, stats.rotations), 'max')
  counter('tls_ticket_key_reloads_total', 'Loads of keys from their source', ['source', 'result'], (set, stats) => {
    const { source } = manager.status()
    for (const result of RELOAD_RESULTS) set({ source, result }, stats.reloads[result])
  })
  gauge('tls_ticket_key_last_successful_reload_timestamp_seconds', 'When keys were loaded last', [], 'min', (set) => {
    const { lastReload } = manager.status()
    if (lastReload !== null) set({}, lastReload / 1000)
  })
}
