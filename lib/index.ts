import { setTicketKeyCallback, TicketStatus } from './callback.js'
import { createTicketKeys } from './create.js'
import { TicketKeys } from './manager.js'
import { plugin } from './plugin.js'
import { tlsSession } from './session.js'

const named = { createTicketKeys, setTicketKeyCallback, tlsSession, TicketKeys, TicketStatus }

// For require(), which gets the plugin function itself ('module.exports' below): Node.js, "Loading ECMAScript modules using require()".
const commonjs = Object.assign(plugin, named, { default: plugin, fastifyTicketKeys: plugin })

export { plugin as default, plugin as fastifyTicketKeys, commonjs as 'module.exports' }
export { createTicketKeys, setTicketKeyCallback, tlsSession, TicketKeys, TicketStatus }
export type { CallbackKey, TicketKeyCallback, TicketKeyCallbackOptions, TicketKeyDecision, TicketKeyRequest, TicketStatusCode } from './callback.js'
export type { ManagerOptions } from './create.js'
export type { Duration } from './duration.js'
export type { EnvironmentOptions } from './environment.js'
export type { KeyFormat } from './keys/formats/index.js'
export type { KeyMaterial, KeyState, KeyTimes, TicketKey } from './keys/key.js'
export type { Log } from './log.js'
export type { TicketKeysEvents, TicketKeysStatus } from './manager.js'
export type { MetricsOptions, TicketKeysOptions } from './options.js'
export type { KeyStatus } from './ring.js'
export type { TlsSession } from './session.js'
export type { SourceOption } from './sources/index.js'
export type { KeySource, SourceKey, SourceKeys } from './sources/source.js'
export type { StaticKey, StaticKeyParts } from './sources/static.js'
export type { ByProtocol, ReloadResult, TicketStats } from './stats.js'
