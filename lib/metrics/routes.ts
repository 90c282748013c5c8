import Negotiator from 'negotiator'
import type { FastifyInstance, RouteInstance } from '../util/fastify-types.js'
import type { TicketKeys } from '../manager/ticket-keys.js'
import { metricsRegistry, registerMetrics } from './register.js'
import type { MetricsOptions } from '../config/options.js'

const DEFAULT_PATH = '/metrics'

/**
 * Adds the metrics routes: Prometheus text, negotiated OpenMetrics, and JSON. They show only the package's own metrics,
 * because the application may protect the other metrics of its registry.
 *
 * @param pathGiven whether the user named the path
 * @returns where the metrics are and who can read them, for the log
 */
export function addRoutes (fastify: FastifyInstance, manager: TicketKeys, options: MetricsOptions, pathGiven: boolean): string {
  const { path = DEFAULT_PATH, instance = fastify, register, routeOptions = {} } = options
  if (register !== undefined) registerMetrics(manager, register)
  if (!pathGiven) {
    if (register !== undefined) return 'in the registry of the application'
    if (instance.hasRoute({ method: 'GET', url: `${instance.prefix}${path}` })) {
      fastify.log.warn(
        `GET ${path} exists already, so the ticket key metrics are not there: ` +
          "give that route's prom-client registry as metrics.register, or another metrics.path"
      )
      return 'none'
    }
  }
  addTextRoute(instance, path, manager, routeOptions)
  instance.get(`${path.replace(/\/$/, '')}/ticket-keys`, routeOptions, async () => {
    // Error messages contain file paths and store addresses, so leave lastError out.
    const { lastError, ...status } = manager.status()
    return { stats: manager.stats(), status }
  })
  if (instance !== fastify) return `GET ${path} of another Fastify instance`
  const guarded = routeOptions.onRequest !== undefined || routeOptions.preValidation !== undefined || routeOptions.preHandler !== undefined
  const readers = guarded ? 'guarded by routeOptions' : 'public: anyone who can reach this server can read them, unless a hook refuses'
  return `GET ${path} (${readers})`
}

function addTextRoute (instance: RouteInstance, path: string, manager: TicketKeys, routeOptions: object): void {
  const text = metricsRegistry(manager, 'text')
  // Each registry has a single content type.
  const registries = [text, metricsRegistry(manager, 'openmetrics')]
  const types = registries.map(({ contentType }) => contentType)
  instance.get(path, routeOptions, async (request, reply) => {
    // Ignore the escaping parameter: the names of these metrics need no escaping.
    const accept = request.headers.accept?.replaceAll(/;\s*escaping=[^;,]*/gi, '')
    const wanted = new Negotiator({ headers: { accept } }).mediaType(types)
    const registry = registries.find(({ contentType }) => contentType === wanted) ?? text
    reply.header('content-type', registry.contentType)
    reply.header('vary', 'accept')
    return await registry.metrics()
  })
}
