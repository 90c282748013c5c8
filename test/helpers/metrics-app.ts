import type { Test } from 'tap'
import ticketKeys from '../../lib/index.js'
import { REASONS, CONDITIONS } from '../../lib/native/types.js'
import type { TicketKeysOptions } from '../../lib/config/options.js'
import { makeApp } from './app.js'
import { PROTOCOLS } from './client.js'

/** Makes an app with the plugin that does not listen. `before` runs before the plugin is registered. */
export async function makeWith (
  t: Test,
  options: TicketKeysOptions,
  before?: (app: Awaited<ReturnType<typeof makeApp>>['app']) => void
): ReturnType<typeof makeApp> {
  const made = await makeApp()
  t.teardown(() => made.app.close())
  before?.(made.app)
  await made.app.register(ticketKeys, { environment: false, ...options })
  return made
}

/** Every series of the design, except series with the id of a key. */
export function seriesOfDesign (source: string): string[] {
  const buckets = [1, 10, 60, 300, 900, 1800, 3600, 7200, 14400, 28800, 86400, 604800, '+Inf']
  return [
    ...PROTOCOLS.flatMap((protocol) => [
      `tls_ticket_issued_total{protocol="${protocol}"}`,
      `tls_ticket_renewed_total{protocol="${protocol}"}`,
      `tls_ticket_resumed_total{protocol="${protocol}"}`,
      ...REASONS.map((reason) => `tls_ticket_rejected_total{protocol="${protocol}",reason="${reason}"}`),
      ...['true', 'false'].map((resumed) => `tls_handshakes_total{protocol="${protocol}",resumed="${resumed}"}`)
    ]),
    ...buckets.map((le) => `tls_ticket_age_seconds_bucket{le="${le}"}`),
    'tls_ticket_age_seconds_sum',
    'tls_ticket_age_seconds_count',
    ...['next', 'current', 'previous'].map((state) => `tls_ticket_keys{state="${state}"}`),
    'tls_ticket_keys_managed',
    'tls_ticket_keys_stale',
    'tls_ticket_current_key_age_seconds',
    'tls_ticket_next_rotation_timestamp_seconds',
    'tls_ticket_key_rotation_interval_seconds',
    'tls_ticket_key_rotations_total',
    ...['success', 'unchanged', 'error'].map((result) => `tls_ticket_key_reloads_total{result="${result}",source="${source}"}`),
    'tls_ticket_key_last_successful_reload_timestamp_seconds',
    'tls_ticket_revocations',
    ...CONDITIONS.map((condition) => `tls_ticket_revocations_total{condition="${condition}"}`)
  ]
}
