import { setTicketKeyCallback, TicketStatus } from './tls/ticket-key-callback.js'
import { createTicketKeys } from './create.js'
import { TicketKeys } from './manager/ticket-keys.js'
import { plugin } from './plugin.js'
import { tlsSession } from './tls/tls-session.js'

type CommonJsExport = typeof plugin & typeof named & { default: typeof plugin, fastifyTicketKeys: typeof plugin }

const named = { createTicketKeys, setTicketKeyCallback, tlsSession, TicketKeys, TicketStatus }

// require() returns the plugin function itself, because of the export 'module.exports' below. See "Loading ECMAScript
// modules using require()" in the Node.js documentation.
const commonjs: CommonJsExport = Object.assign(plugin, named, { default: plugin, fastifyTicketKeys: plugin })

export { plugin as default, plugin as fastifyTicketKeys, commonjs as 'module.exports' }
export { createTicketKeys, setTicketKeyCallback, tlsSession, TicketKeys, TicketStatus }
export type {
  CallbackKey, TicketKeyCallback, TicketKeyCallbackOptions, TicketKeyDecision, TicketKeyRequest, TicketStatusCode
} from './tls/ticket-key-callback.js'
export type { ManagerOptions } from './create.js'
export type { Duration } from './util/duration.js'
export type { EnvironmentOptions } from './config/options.js'
export type { KeyFormat } from './keys/formats/index.js'
export type { KeyMaterial, KeyState, KeyTimes, SourceKey, TicketKey } from './keys/key.js'
export type { Log } from './util/log.js'
export type { TicketKeysEvents, TicketKeysStatus } from './manager/ticket-keys.js'
export type { MetricsOptions, TicketKeysOptions } from './config/options.js'
export type { RevocationConditions } from './manager/revocation-conditions.js'
export type { KeyStatus } from './manager/key-ring.js'
export type { AuthenticatedSession, SessionDataFunction } from './native/types.js'
export type { TlsSession } from './tls/tls-session.js'
export type { SourceOption } from './sources/make-source.js'
export type { KeySource, SourceKeys } from './sources/key-source.js'
export type { StaticKey, StaticKeyParts } from './sources/static.js'
export type { ByProtocol, ReloadResult, TicketStats } from './manager/stats.js'
