import type { OpenMetricsContentType, Registry } from 'prom-client'
import { KEY_FORMATS } from '../keys/formats/index.js'
import type { SessionDataFunction } from '../native/types.js'
import type { KeySource } from '../sources/key-source.js'
import type { SourceOption } from '../sources/make-source.js'
import { DURATION_FORM, type Duration, type DurationLimits } from '../util/duration.js'
import type { RouteInstance, RouteShorthandOptions } from '../util/fastify-types.js'

/*
 * Every option and every variable, in one place. To add an option, add a line to TicketKeysOptions and one to OPTIONS.
 * TypeScript reports an option that only one of the two has. The check, the variable, the default and the error message
 * follow from the line in OPTIONS.
 */

export interface MetricsOptions {
  /** path of the Prometheus text, default `/metrics`; the JSON is at `<path>/ticket-keys` */
  path?: string
  /** another Fastify instance for the routes, for example on an internal port */
  instance?: RouteInstance
  /** your prom-client registry, which receives the metrics */
  register?: Registry | Registry<OpenMetricsContentType>
  /** options of the routes, such as `logLevel`, or `onRequest` for authentication */
  routeOptions?: RouteShorthandOptions
}

/** How variables are read. */
export interface EnvironmentOptions {
  /** prefix of the variable names; default `TICKET_KEYS_` */
  prefix?: string
  /**
   * `true`: also read the file `.env`; an object: the location of the file. Variables that are set override the file.
   * Default `false`
   */
  dotenv?: boolean | { path?: string, encoding?: BufferEncoding }
  /** read instead of `process.env`; variables that hold secrets are deleted from this object */
  data?: NodeJS.ProcessEnv
}

/** Options of the plugin and of `createTicketKeys`. OPTIONS has their variables. */
export interface TicketKeysOptions {
  /** where keys come from; default `{ type: 'memory' }` */
  source?: SourceOption | KeySource
  /** how long a key issues tickets; default `'1h'` */
  rotationInterval?: Duration
  /** how long a ticket can resume; default `'2h'`, at most 7 days */
  ticketLifetime?: Duration
  /** how long after the full handshake a TLS 1.3 chain of renewed tickets may continue; default `'24h'` */
  maxSessionAge?: Duration
  /** TLS 1.3 tickets after a full handshake, 0 to 16; default 2 */
  ticketsPerHandshake?: number
  /** `false`: no tickets over TLS 1.2, whose resumption has no forward secrecy; default `true` */
  tls12Tickets?: boolean
  /** servers accept each other's tickets only if they share this value; default `''` */
  sessionIdContext?: string
  /** a ticket resumes only under the server name that it was issued for; default `true` */
  bindServerName?: boolean
  /** with client certificates, also issue tickets if the server has an SNICallback; default `false` */
  resumeSniCallback?: boolean
  /** refuse key files that cause a warning otherwise, such as one that everybody can read; default `false` */
  strictPermissions?: boolean
  /** the metrics routes: `true`, `false`, a path, or an object; default `true` */
  metrics?: boolean | string | MetricsOptions
  /** `false`: on a plain HTTP server log a warning and do nothing; default `true` */
  requireTls?: boolean
  /** `true`: if the addon does not load, warn and leave tickets to Node.js; default `false` */
  optional?: boolean
  /**
   * called once per full handshake; its bytes, at most 512, are sealed in the ticket and come back as `tlsSession.data`.
   * Default `null`: nothing is kept
   */
  sessionData?: SessionDataFunction | null
  /** how variables are read; `false`: read none */
  environment?: EnvironmentOptions | false
}

/** The options that have a default. */
export type Settings = Required<Omit<TicketKeysOptions, 'environment'>>

/** JSON schema, with the keywords `duration`, `method` and `functionOrNull` of ./check-values.ts. */
export interface JsonSchema {
  type?: string | string[]
  enum?: readonly string[]
  pattern?: string
  minimum?: number
  maximum?: number
  duration?: DurationLimits
  /** name of a function that the value must have */
  method?: string
  /** whether the value must be a function or null */
  functionOrNull?: true
}

/** The shape of a value, and its description for messages. */
export interface ValueSchema {
  schema: JsonSchema
  /** follows "must be" in messages */
  form: string
  /** options inside an object */
  properties?: Readonly<Record<string, OptionSchema>>
}

/** An option and its variable. */
export interface OptionSchema extends ValueSchema {
  /** name of the variable without the prefix */
  variable?: string
  /** like `form`, if the variable takes other values than the option */
  variableForm?: string
  /** the text of the variable that sets the whole option to `false` */
  off?: string
}

const BOOLEAN: ValueSchema = { schema: { type: 'boolean' }, form: 'true or false' }
const STRING: ValueSchema = { schema: { type: 'string' }, form: 'a string' }
const ROUTE: ValueSchema = { schema: { type: 'string', pattern: '^/' }, form: "a path that begins with '/'" }
const integer = (minimum: number, maximum: number): ValueSchema =>
  ({ schema: { type: 'integer', minimum, maximum }, form: `a whole number from ${minimum} to ${maximum}` })
/** OpenSSL counts session lifetimes in whole seconds. */
const SECOND = { milliseconds: 1000, text: 'one second' }
/** RFC 8446 section 4.6.1: servers must not use a ticket lifetime greater than 7 days. */
const WEEK = { milliseconds: 7 * 86_400_000, text: '7 days' }
const duration = (limits: DurationLimits): ValueSchema => ({ schema: { duration: limits }, form: DURATION_FORM })

/** Every option but `environment`, in the order of the documentation. */
export const OPTIONS: Readonly<{ [Name in keyof Settings]: OptionSchema & { default: Settings[Name] } }> = {
  // lib/sources checks the source.
  source: { default: Object.freeze({ type: 'memory' }), schema: {}, form: '' },
  rotationInterval: { default: '1h', variable: 'ROTATION_INTERVAL', ...duration({ atLeast: SECOND }) },
  ticketLifetime: { default: '2h', variable: 'TICKET_LIFETIME', ...duration({ atLeast: SECOND, atMost: WEEK }) },
  maxSessionAge: { default: '24h', variable: 'MAX_SESSION_AGE', ...duration({ atLeast: SECOND }) },
  ticketsPerHandshake: { default: 2, variable: 'TICKETS_PER_HANDSHAKE', ...integer(0, 16) },
  tls12Tickets: { default: true, variable: 'TLS12_TICKETS', ...BOOLEAN },
  sessionIdContext: { default: '', variable: 'SESSION_ID_CONTEXT', ...STRING },
  bindServerName: { default: true, variable: 'BIND_SERVER_NAME', ...BOOLEAN },
  resumeSniCallback: { default: false, variable: 'RESUME_SNI_CALLBACK', ...BOOLEAN },
  strictPermissions: { default: false, variable: 'STRICT_PERMISSIONS', ...BOOLEAN },
  metrics: {
    default: true,
    schema: { type: ['boolean', 'string', 'object'], pattern: '^/' },
    form: "true, false, a path that begins with '/', or an object",
    properties: {
      path: { variable: 'METRICS_PATH', variableForm: "a path that begins with '/', or off", off: 'off', ...ROUTE },
      instance: { schema: { method: 'route' }, form: 'a Fastify instance' },
      register: { schema: { method: 'registerMetric' }, form: 'a prom-client registry' },
      routeOptions: { schema: { type: 'object' }, form: 'an object' }
    }
  },
  requireTls: { default: true, variable: 'REQUIRE_TLS', ...BOOLEAN },
  optional: { default: false, variable: 'OPTIONAL', ...BOOLEAN },
  sessionData: { default: null, schema: { functionOrNull: true }, form: 'a function or null' }
}

/** The option `environment`, which says how the others are read. */
export const ENVIRONMENT: Readonly<Record<'environment', OptionSchema>> = {
  environment: {
    schema: { type: 'object' },
    form: 'false or an object',
    properties: {
      prefix: { schema: { type: 'string', pattern: '^[A-Za-z_][A-Za-z0-9_]*$' }, form: 'letters, digits and underscores' },
      dotenv: { schema: { type: ['boolean', 'object'] }, form: 'true, false or an object' },
      data: { schema: { type: 'object' }, form: 'an object' }
    }
  }
}

/** A variable of the source. */
export interface SourceVariable extends ValueSchema {
  /** types of the sources that use the variable */
  sources: ReadonlyArray<SourceOption['type']>
  /** the part of the option `source` that the variable sets */
  part: 'keys' | 'secret' | 'previousSecrets' | 'path' | 'format'
  /** whether the variable selects the type of the source; `sources` then has one entry */
  namesSource?: true
  /** deleted from the environment once read */
  secret?: true
  /** whether NAME_FILE may name a file that holds the value */
  hasFile?: true
}

const SECRET = { ...STRING, secret: true, hasFile: true } as const
const PATH: ValueSchema = { schema: { type: 'string' }, form: 'a path' }

/** Every variable of the sources, without its prefix. `''` is the prefix itself without its last underscore. */
export const SOURCE_VARIABLES: Readonly<Record<string, SourceVariable>> = {
  '': {
    sources: ['static'],
    part: 'keys',
    namesSource: true,
    schema: { type: 'string' },
    form: 'comma-separated base64, 80 bytes a key: name, HMAC key, AES key',
    secret: true
  },
  SECRET: { sources: ['secret'], part: 'secret', namesSource: true, ...SECRET },
  PREVIOUS_SECRET: { sources: ['secret'], part: 'previousSecrets', ...SECRET },
  FILE: { sources: ['file'], part: 'path', namesSource: true, ...PATH },
  DIRECTORY: { sources: ['directory'], part: 'path', namesSource: true, ...PATH },
  FORMAT: {
    sources: ['file', 'directory'],
    part: 'format',
    schema: { type: 'string', enum: KEY_FORMATS },
    form: `one of ${KEY_FORMATS.join(', ')}`
  }
}

/** Converts the text of a variable to a value. Returns a wrong text unchanged, and the check then reports it. */
export function fromText (text: string, { schema: { type } }: ValueSchema): unknown {
  if (type === 'boolean' && (text === 'true' || text === 'false')) return text === 'true'
  if (type === 'integer' && /^\s*\d+\s*$/.test(text)) return Number(text)
  return text
}

/** The variable that names a file with the value of another variable. */
export function fileVariable (variable: string): string {
  return `${variable}_FILE`
}

/** Every variable without its prefix, with the option that it sets. Source variables have no `option`. */
export const VARIABLES = Object.fromEntries<Readonly<{ option?: string, secret?: true }>>([
  ...Object.entries(OPTIONS).flatMap(([option, { variable, properties = {} }]: [string, OptionSchema]) =>
    [variable, ...Object.values(properties).map((property) => property.variable)]
      .flatMap((name) => name === undefined ? [] : [[name, { option }] as const])),
  ...Object.entries(SOURCE_VARIABLES).flatMap(([name, { secret, hasFile }]) => [
    [name, secret === true ? { secret } : {}] as const,
    ...(hasFile === true ? [[fileVariable(name), {}] as const] : [])
  ])
])

/** The defaults of all options. */
export const DEFAULT_OPTIONS: Readonly<Settings> = Object.freeze(
  Object.fromEntries(Object.entries(OPTIONS).map(([name, option]) => [name, option.default])) as unknown as Settings)
