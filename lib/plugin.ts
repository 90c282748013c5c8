import type { Server } from 'node:net'
import fp from 'fastify-plugin'
import type { FastifyInstance, FastifyPluginAsync, FastifyRequest } from './util/fastify-types.js'
import { isTlsServer } from './tls/server-internals.js'
import { NotTlsError, OptionsError } from './util/errors.js'
import { assertSupportedRuntime } from './native/binding.js'
import { startTicketKeys } from './manager/start.js'
import type { TicketKeys } from './manager/ticket-keys.js'
import { resolveOptions, type TicketKeysOptions } from './config/options.js'
import { addRoutes } from './metrics/routes.js'
import { logStart } from './metrics/start-line.js'
import { toLogger } from './util/log.js'
import { tlsSession, type TlsSession } from './tls/tls-session.js'

/** @ts-ignore: fastify may not be installed; lib/util/fastify-types.ts has the reason */
declare module 'fastify' {
  interface FastifyInstance {
    /**
     * the manager of this server's session ticket keys. It is missing on a server without TLS, which the option
     * `requireTls: false` allows. It is optional because a decorator has one type for all options.
     */
    ticketKeys?: TicketKeys
  }
  interface FastifyRequest {
    /** the TLS session of the connection; `null` without TLS */
    readonly tlsSession: TlsSession | null
  }
}

const ticketKeys: FastifyPluginAsync<TicketKeysOptions> = async (fastify, options) => {
  if (fastify.hasRequestDecorator('tlsSession')) throw new OptionsError('the plugin is registered already, and manages this server')
  const resolved = resolveOptions(optionsOf(options))
  for (const warning of resolved.warnings) fastify.log.warn(warning)
  fastify.decorateRequest('tlsSession', { getter (this: FastifyRequest) { return tlsSession(this.raw.socket) } })
  // Check the runtime first: on other runtimes, isTlsServer() does not recognize a server with TLS.
  if (resolved.unmanaged === null) assertSupportedRuntime()
  if (resolved.unmanaged === null && !isTlsServer(fastify.server)) {
    await resolved.source.close?.()
    if (resolved.requireTls) throw new NotTlsError('this Fastify server has no TLS: give it https options, or the plugin requireTls: false')
    fastify.log.warn('this Fastify server has no TLS: no session ticket keys are managed')
    return
  }
  const manager = await startTicketKeys(resolved, fastify.log)
  try {
    fastify.decorate('ticketKeys', manager)
    const metrics = resolved.metrics === null ? 'none' : addRoutes(fastify, manager, resolved.metrics, resolved.metricsPathGiven)
    // Attach last, so that an error above leaves the server unchanged.
    manager.attach(fastify.server)
    if (resolved.unmanaged === null) logStart(toLogger(fastify.log), manager.status(), metrics)
  } catch (error) {
    await manager.close().catch(() => {})
    throw error
  }
  fastify.addHook('onClose', async () => { await manager.close() })
  fastify.addHook('onListen', async () => { attachSecondServers(fastify, manager) })
}

/** Removes the options of `register`, which Fastify passes to plugins too. */
function optionsOf (options: TicketKeysOptions): TicketKeysOptions {
  const { prefix, logLevel, logSerializers, ...own } = options as TicketKeysOptions & Record<string, unknown>
  return own
}

/**
 * For 'localhost', Fastify listens on 127.0.0.1 and on ::1 with one server each. The second server does not exist
 * before Fastify listens. Fastify keeps it behind a symbol that it does not export.
 */
function attachSecondServers (fastify: FastifyInstance, manager: TicketKeys): void {
  const bindings = serverBindings(fastify)
  if (!Array.isArray(bindings)) {
    fastify.log.warn("this Fastify does not show its second server for 'localhost': listen on one address")
    return
  }
  for (const server of bindings as Server[]) manager.attach(server)
}

function serverBindings (fastify: FastifyInstance): unknown {
  // Scopes inherit from the outer scope. Only the outermost scope has the symbol.
  for (let scope: object | null = fastify; scope !== null; scope = Object.getPrototypeOf(scope) as object | null) {
    const symbol = Object.getOwnPropertySymbols(scope).find(({ description }) => description === 'fastify.serverBindings')
    if (symbol !== undefined) return Reflect.get(fastify, symbol)
  }
  return undefined
}

/**
 * The plugin: `await app.register(ticketKeys)`. Decorates the scope that registers it, and manages the whole server.
 */
export const plugin: FastifyPluginAsync<TicketKeysOptions> = fp(ticketKeys, { fastify: '5.x', name: 'fastify-ticket-keys' })
