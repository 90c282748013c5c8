import { Registry, type Aggregator, type Metric, type OpenMetricsContentType, type RegistryContentType } from 'prom-client'
import { RELOAD_RESULTS, type ByProtocol, type TicketStats } from '../manager/stats.js'
import type { TicketKeys, TicketKeysStatus } from '../manager/ticket-keys.js'
import { CONDITIONS, PROTOCOLS, REASONS } from '../native/types.js'
import { OptionsError } from '../util/errors.js'

/** The manager's state at one moment. All metrics of a scrape use the same snapshot. */
interface Snapshot {
  stats: TicketStats
  status: TicketKeysStatus
  /** ms; `null` without a current key */
  currentKeyAge: number | null
  /** ms */
  rotationInterval: number
  /** ms since 1970; `null` without a revocation of all sessions */
  revokedUntil: number | null
}

/** A line of Prometheus text. */
interface Sample {
  /** name of a histogram's line; default: the name of the metric */
  metricName?: string
  labels: Record<string, string | number>
  value: number
}

/** A metric. `get` returns its samples, with labels and values. */
interface Definition {
  name: string
  type: 'counter' | 'gauge' | 'histogram'
  help: string
  /**
   * How prom-client's AggregatorRegistry combines this metric from all workers of a cluster. Counts are added up. Key
   * metrics are not, because all workers have the same keys.
   */
  aggregator: Aggregator
  get (snapshot: Snapshot): Sample[]
}

const counter = (name: string, help: string, get: Definition['get'], aggregator: Aggregator = 'sum'): Definition =>
  ({ name, type: 'counter', help, aggregator, get })
const gauge = (name: string, help: string, aggregator: Aggregator, get: Definition['get']): Definition =>
  ({ name, type: 'gauge', help, aggregator, get })

/** One sample without labels; no sample without a value. */
const single = (value: number | null): Sample[] => value === null ? [] : [{ labels: {}, value }]
const seconds = (milliseconds: number | null): number | null => milliseconds === null ? null : milliseconds / 1000
const byProtocol = (counts: ByProtocol): Sample[] => PROTOCOLS.map((protocol) => ({ labels: { protocol }, value: counts[protocol] }))

const AGE = 'tls_ticket_age_seconds'

/** Every metric of the package. */
const METRICS: readonly Definition[] = [
  counter('tls_ticket_issued_total', 'Session tickets made in full handshakes', ({ stats }) => byProtocol(stats.issued)),
  counter('tls_ticket_renewed_total', 'Session tickets made in resumed handshakes', ({ stats }) => byProtocol(stats.renewed)),
  counter('tls_ticket_resumed_total', 'Finished handshakes that resumed from a session ticket', ({ stats }) => byProtocol(stats.resumed)),
  counter('tls_ticket_rejected_total', 'Session tickets that were offered and refused', ({ stats }) =>
    PROTOCOLS.flatMap((protocol) => REASONS.map((reason) => ({ labels: { protocol, reason }, value: stats.rejected[protocol][reason] })))),
  counter('tls_handshakes_total', 'Finished TLS handshakes', ({ stats }) => PROTOCOLS.flatMap((protocol) => [
    { labels: { protocol, resumed: 'true' }, value: stats.handshakes[protocol].resumed },
    { labels: { protocol, resumed: 'false' }, value: stats.handshakes[protocol].full }
  ])),
  {
    name: AGE,
    type: 'histogram',
    help: 'Age of session tickets that resumed',
    aggregator: 'sum',
    get: ({ stats }) => ageSamples(stats.age)
  },
  gauge('tls_ticket_keys', 'Session ticket keys held', 'max', ({ status }) => {
    const counts = { next: 0, current: 0, previous: 0 }
    for (const key of status.keys) counts[key.state]++
    return Object.entries(counts).map(([state, value]) => ({ labels: { state }, value }))
  }),
  gauge('tls_ticket_key_info', 'Session ticket keys by the first 8 hex digits of their public name', 'max', ({ status }) =>
    status.keys.map(({ id, state }) => ({ labels: { key_id: id, state }, value: 1 }))),
  gauge('tls_ticket_keys_managed',
    'Whether this package manages the session tickets: 0 where the option optional leaves them to Node.js', 'min',
    ({ status }) => single(status.managed ? 1 : 0)),
  gauge('tls_ticket_keys_stale', 'Whether no key could issue now, or a list of keys without times is older than it should be', 'max',
    ({ status }) => single(status.stale ? 1 : 0)),
  gauge('tls_ticket_current_key_age_seconds', 'For how long the current key has been issuing tickets', 'max',
    ({ currentKeyAge }) => single(seconds(currentKeyAge))),
  gauge('tls_ticket_next_rotation_timestamp_seconds', 'When the current key changes next', 'min',
    ({ status }) => single(seconds(status.nextRotation))),
  gauge('tls_ticket_keys_end_timestamp_seconds', 'When the last issuing key ends, unless new keys are loaded', 'min',
    ({ status }) => single(seconds(status.keysEnd))),
  gauge('tls_ticket_key_rotation_interval_seconds', 'For how long each key issues tickets', 'max',
    ({ rotationInterval }) => single(seconds(rotationInterval))),
  counter('tls_ticket_key_rotations_total', 'Changes of the current key', ({ stats }) => single(stats.rotations), 'max'),
  counter('tls_ticket_key_reloads_total', 'Loads of keys from their source', ({ stats, status: { source } }) =>
    RELOAD_RESULTS.map((result) => ({ labels: { source, result }, value: stats.reloads[result] }))),
  gauge('tls_ticket_key_last_successful_reload_timestamp_seconds', 'When keys were loaded last', 'min',
    ({ status }) => single(seconds(status.lastReload))),
  gauge('tls_ticket_sessions_revoked_timestamp_seconds', 'Sessions authenticated up to this time are refused', 'max',
    ({ revokedUntil }) => single(seconds(revokedUntil))),
  gauge('tls_ticket_revocations', 'Revocations with conditions in force', 'max', ({ status }) => single(status.revocations)),
  counter('tls_ticket_revocations_total', 'Revocations of sessions, by the first condition', ({ stats }) =>
    CONDITIONS.map((condition) => ({ labels: { condition }, value: stats.revocations[condition] })))
]

/** The cumulative buckets of the histogram, its sum and its count. */
function ageSamples ({ buckets, sum, count }: TicketStats['age']): Sample[] {
  let value = 0
  const cumulative = buckets.map((bucket) => {
    value += bucket.count
    return { metricName: `${AGE}_bucket`, labels: { le: bucket.le === Infinity ? '+Inf' : bucket.le }, value }
  })
  return [...cumulative, { metricName: `${AGE}_sum`, labels: {}, value: sum }, { metricName: `${AGE}_count`, labels: {}, value: count }]
}

/** A registry of the manager's metrics in one content type. */
export function metricsRegistry (manager: TicketKeys, contentType: 'text' | 'openmetrics'): Registry<RegistryContentType> {
  const registry = new Registry<RegistryContentType>()
  registry.setContentType(contentType === 'text' ? Registry.PROMETHEUS_CONTENT_TYPE : Registry.OPENMETRICS_CONTENT_TYPE)
  registerMetrics(manager, registry)
  return registry
}

/**
 * Registers the manager's metrics until the manager closes. Their values are read at each scrape. Throws
 * FST_TICKET_KEYS_OPTIONS if the registry already has metrics of these names.
 */
export function registerMetrics (manager: TicketKeys, registry: Registry | Registry<OpenMetricsContentType>): void {
  let snapshot: Snapshot | undefined
  // A registry calls `get` of all its metrics in one turn of the event loop.
  const read = (): Snapshot => {
    if (snapshot === undefined) {
      const { rotationInterval } = manager
      snapshot = {
        stats: manager.stats(),
        status: manager.status(),
        currentKeyAge: manager.currentKeyAge(),
        rotationInterval,
        revokedUntil: manager.revokedUntil()
      }
      queueMicrotask(() => { snapshot = undefined })
    }
    return snapshot
  }
  const taken = METRICS.find(({ name }) => registry.getSingleMetric(name) !== undefined)
  if (taken !== undefined) {
    throw new OptionsError(`metrics.register has the metric ${taken.name} already: give each manager a separate registry`)
  }
  const metrics = METRICS.map((definition) => toMetric(definition, read))
  for (const metric of metrics) registry.registerMetric(metric)
  // A closed manager has no keys: its metrics would fire the alerts.
  manager.onClose(() => {
    METRICS.forEach(({ name }, index) => {
      // The application may have cleared the registry and registered another manager.
      if (registry.getSingleMetric(name) === metrics[index]) registry.removeSingleMetric(name)
    })
  })
}

/** A metric in the form that registries use. prom-client's own classes only count upwards from 0. */
function toMetric ({ get, ...definition }: Definition, read: () => Snapshot): Metric {
  const metric = {
    ...definition,
    /** Uses the current name: for OpenMetrics, registries remove `_total` from it. */
    get: async () => ({ ...definition, name: metric.name, values: get(read()) }),
    // The counters belong to the addon and are never reset.
    reset: () => {}
  }
  return metric as unknown as Metric
}
