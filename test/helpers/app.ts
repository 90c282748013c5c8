import type { AddressInfo } from 'node:net'
import type { Server } from 'node:https'
import type { SecureContextOptions } from 'node:tls'
import Fastify from 'fastify'
import type { FastifyBaseLogger, FastifyHttp2SecureOptions, FastifyHttpsOptions, FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import type { TicketKeys } from '../../lib/manager/ticket-keys.js'
import { plugin } from '../../lib/plugin.js'
import type { TicketKeysOptions } from '../../lib/config/options.js'
import { serverCert } from './certs.js'
import { watch, type Handshake } from './server.js'

/** A logger for Fastify that keeps warnings and errors as `level: text`. */
export function fastifyLogCollector (): { lines: string[], options: { level: string, stream: { write (line: string): void } } } {
  const lines: string[] = []
  const write = (line: string): void => {
    const { level, msg } = JSON.parse(line) as { level: number, msg: string }
    if (level >= 40) lines.push(`${level === 40 ? 'warn' : 'error'}: ${msg}`)
  }
  return { lines, options: { level: 'info', stream: { write } } }
}

/** A Fastify server with TLS: on such a server the plugin always decorates the manager. */
type ManagedApp = FastifyInstance<Server> & { ticketKeys: TicketKeys }

/** A listening Fastify server with TLS. */
export interface App {
  app: ManagedApp
  port: number
  /** Logged warnings and errors, such as `warn: text`, without the warning about unlocked memory. */
  log: () => string[]
  /** All finished handshakes of the app's first server, oldest first. */
  handshakes: Handshake[]
}

/** Options of `makeApp` and `startApp`. */
export interface AppOptions {
  https?: SecureContextOptions & Record<string, unknown>
  /** Serves HTTP/2, and also HTTP/1.1 if `https.allowHTTP1` is set. */
  http2?: boolean
  /** The address to listen on, default 127.0.0.1. */
  host?: string
  /** Runs before the plugin is registered. */
  before?: (app: FastifyInstance<Server>) => void | Promise<void>
}

/** Makes a Fastify server with `serverCert()`, without the plugin. GET / responds with `request.tlsSession`. */
export async function makeApp ({ https, http2 = false }: Pick<AppOptions, 'https' | 'http2'> = {}): Promise<
  Omit<App, 'port' | 'handshakes'>
> {
  const { key, cert } = await serverCert()
  const { lines, options } = fastifyLogCollector()
  const secure = { logger: options, https: { key, cert, ...https } }
  const app = (http2
    ? Fastify({ ...secure, http2 } as FastifyHttp2SecureOptions<never, FastifyBaseLogger>)
    : Fastify(secure as FastifyHttpsOptions<Server>)) as unknown as ManagedApp
  app.get('/', async ({ tlsSession }) => ({ tlsSession }))
  return { app, log: () => lines.filter((line) => !line.includes('RLIMIT_MEMLOCK')) }
}

/** Makes such a server with the plugin, and listens. The plugin reads no variables. The server closes with the test. */
export async function startApp (t: Test, options: TicketKeysOptions = {}, appOptions: AppOptions = {}): Promise<App> {
  const { app, log } = await makeApp(appOptions)
  t.teardown(() => app.close())
  await appOptions.before?.(app)
  await app.register(plugin, { environment: false, ...options })
  const handshakes = watch(app.server)
  await app.listen({ port: 0, host: appOptions.host ?? '127.0.0.1' })
  return { app, log, handshakes, port: (app.server.address() as AddressInfo).port }
}
