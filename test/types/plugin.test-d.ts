// The types as users of the package see them. Nothing here runs. ../package/types.test.ts compiles this file against the
// installed package. @ts-expect-error marks wrong uses: TypeScript reports an error if the next line has none.
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import { pino } from 'pino'
import { Registry, type OpenMetricsContentType, type PrometheusContentType } from 'prom-client'
import ticketKeys, {
  fastifyTicketKeys, type TicketKeys, type TicketKeysOptions, type TicketKeysStatus, type TlsSession
} from 'fastify-ticket-keys'
import { exactly, fits } from './expect.js'

const key = Buffer.alloc(80)
const app = Fastify({ https: { key: '', cert: '' } })
const internal = Fastify()

// Registration, under either name, on servers of every kind, with no options and with all.
await app.register(ticketKeys)
await internal.register(fastifyTicketKeys, { requireTls: false })
await Fastify({ http2: true, https: { allowHTTP1: true } }).register(ticketKeys, {})
await app.register(ticketKeys, {
  source: { type: 'static', keys: [key, { name: key, aesKey: key, hmacKey: key, notBefore: Date.now() }] },
  rotationInterval: '15m',
  ticketLifetime: 3_600_000,
  maxSessionAge: '7d',
  ticketsPerHandshake: 1,
  tls12Tickets: false,
  sessionIdContext: 'blue',
  bindServerName: false,
  resumeSniCallback: true,
  strictPermissions: true,
  metrics: { path: '/internal/metrics', instance: internal, register: new Registry(), routeOptions: { logLevel: 'warn' } },
  requireTls: true,
  environment: false
})
await app.register(ticketKeys, { metrics: false })
await app.register(ticketKeys, { metrics: '/tls-metrics' })

// @ts-expect-error: a duration is a number or a string
await app.register(ticketKeys, { rotationInterval: new Date() })
// @ts-expect-error: no such option
await app.register(ticketKeys, { rotation: '1h' })
// @ts-expect-error: a number
await app.register(ticketKeys, { ticketsPerHandshake: '2' })
// @ts-expect-error: a path is a string
await app.register(ticketKeys, { metrics: { path: 1 } })
// @ts-expect-error: a Fastify instance
await app.register(ticketKeys, { metrics: { instance: {} } })
// @ts-expect-error: no such source
await app.register(ticketKeys, { source: { type: 'redis' } })
// @ts-expect-error: without keys
await app.register(ticketKeys, { source: { type: 'static' } })
// @ts-expect-error: base64 is for the environment
await app.register(ticketKeys, { source: { type: 'static', keys: ['base64'] } })
// @ts-expect-error: without a path
await app.register(ticketKeys, { source: { type: 'file' } })
// @ts-expect-error: no such format
await app.register(ticketKeys, { source: { type: 'file', path: '/run/keys', format: 'nginx' } })
// @ts-expect-error: memory has no path
await app.register(ticketKeys, { source: { type: 'memory', path: '/run/keys' } })
// @ts-expect-error: those who want a logger of their own have createTicketKeys
await app.register(ticketKeys, { log: console })

fits<TicketKeysOptions>({ source: { type: 'memory' } })
fits<TicketKeysOptions>({ source: { type: 'static', keys: Object.freeze([key]) } })
fits<TicketKeysOptions>({ source: { type: 'secret', secret: 'text', previousSecrets: [key, 'text'] } })
fits<TicketKeysOptions>({ source: { type: 'file', path: '/run/keys', format: 'nginx80' } })
fits<TicketKeysOptions>({ source: { type: 'directory', path: '/run/keys' } })

// The metrics on instances of every kind, and in registries of both kinds.
await app.register(ticketKeys, { metrics: { instance: Fastify({ loggerInstance: pino() }) } })
await app.register(ticketKeys, { metrics: { instance: Fastify({ http2: true }) } })
const http2App = Fastify({ http2: true, https: { key: '' }, loggerInstance: pino() })
await app.register(ticketKeys,
  { metrics: { instance: http2App, routeOptions: { onRequest: async (request) => { request.log.info('') } } } })
await http2App.register(ticketKeys)
await app.register(ticketKeys, { metrics: { register: new Registry<PrometheusContentType>() } })
await app.register(ticketKeys, { metrics: { register: new Registry<OpenMetricsContentType>() } })

// What it decorates.
exactly<TicketKeys | undefined>()(app.ticketKeys)
// @ts-expect-error: with requireTls: false there may be none
app.ticketKeys.status()
exactly<TicketKeysStatus | undefined>()(app.ticketKeys?.status())
const manager = app.ticketKeys!
exactly<number>()(manager.stats().rejected['TLSv1.3'].unknown_key)
exactly<Promise<{ at: number }>>()(manager.rotate({ revoke: true }))
exactly<Promise<'success' | 'unchanged'>>()(manager.reload())
// @ts-expect-error: a manager, or nothing
app.ticketKeys = null
// @ts-expect-error: versions that have managed tickets only
fits<object>(manager.stats().rejected['TLSv1.1'])

app.get('/', async (request) => {
  exactly<TlsSession | null>()(request.tlsSession)
  // @ts-expect-error: null without TLS
  fits<TlsSession>(request.tlsSession)
  const answer = { resumed: request.tlsSession?.resumed, keyId: request.tlsSession?.keyId ?? 'none' }
  // @ts-expect-error: it is read only
  request.tlsSession = null
  return answer
})

// Everywhere in the application, not only on what `register` was called on.
export function oldest (server: FastifyInstance, request: FastifyRequest): void {
  exactly<TicketKeys | undefined>()(server.ticketKeys)
  exactly<number | null | undefined>()(request.tlsSession?.authenticatedAt)
}
