import Negotiator from 'negotiator'
import type { FastifyInstance } from '../util/fastify-types.js'
import type { TicketKeys } from '../manager/ticket-keys.js'
import { metricsRegistry, registerMetrics } from './register.js'
import type { MetricsOptions } from '../config/options.js'

const DEFAULT_PATH = '/metrics'

/** Adds the metrics routes: Prometheus text, negotiated OpenMetrics, and JSON. */
export function addRoutes (fastify: FastifyInstance, manager: TicketKeys, options: MetricsOptions, pathGiven: boolean): void {
  const { path = DEFAULT_PATH, instance = fastify, register, routeOptions = {} } = options
  if (register !== undefined) registerMetrics(manager, register)
  if (!pathGiven && instance.hasRoute({ method: 'GET', url: `${instance.prefix}${path}` })) {
    if (register === undefined) {
      fastify.log.warn(
        `GET ${path} exists already, so the ticket key metrics are not there: ` +
          "give that route's prom-client registry as metrics.register, or another metrics.path"
      )
    }
  } else {
    addTextRoute(instance, path, manager, register, routeOptions)
  }
  // Stays below the path that was meant, wherever the text is: it is the package's own.
  instance.get(`${path.replace(/\/$/, '')}/ticket-keys`, routeOptions, async () => ({ stats: manager.stats(), status: manager.status() }))
}

function addTextRoute (
  instance: FastifyInstance, path: string, manager: TicketKeys, register: MetricsOptions['register'], routeOptions: object
): void {
  const text = register ?? metricsRegistry(manager, 'text')
  // A registry has one content type: OpenMetrics comes from one of its own, where the caller has not given theirs.
  const registries = register === undefined ? [text, metricsRegistry(manager, 'openmetrics')] : [text]
  const types = registries.map(({ contentType }) => contentType)
  instance.get(path, routeOptions, async (request, reply) => {
    // How Prometheus 3 would have names escaped does not matter: ours need none.
    const accept = request.headers.accept?.replaceAll(/;\s*escaping=[^;,]*/gi, '')
    const wanted = new Negotiator({ headers: { accept } }).mediaType(types)
    const registry = registries.find(({ contentType }) => contentType === wanted) ?? text
    reply.header('content-type', registry.contentType)
    reply.header('vary', 'accept')
    return await registry.metrics()
  })
}
