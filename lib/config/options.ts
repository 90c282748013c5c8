import { createHash } from 'node:crypto'
import type { Registry } from 'prom-client'
import type { FastifyInstance, RouteShorthandOptions } from '../util/fastify-types.js'
import { DURATION_FORM, parseDuration, type Duration } from '../util/duration.js'
import { readEnvironment, type EnvironmentOptions } from './environment.js'
import { addonProblem } from '../native/binding.js'
import type { NativeOptions } from '../native/types.js'
import { OptionErrors } from '../util/option-errors.js'
import { makeSource, type SourceOption } from '../sources/make-source.js'
import { ThreadSource } from '../sources/other-thread.js'
import type { KeySource } from '../sources/key-source.js'

/** RFC 8446 section 4.6.1: servers must not use a lifetime greater than 7 days. */
const MAX_TICKET_LIFETIME = 7 * 86_400_000
/** OpenSSL counts sessions in whole seconds. */
const MIN_DURATION = 1000

export interface MetricsOptions {
  /** default `/metrics`; the JSON is at `…/ticket-keys` */
  path?: string
  /** another Fastify instance for the routes: an internal port */
  instance?: FastifyInstance
  /** a prom-client registry of yours to put the metrics in */
  register?: Registry
  /** for the routes: `logLevel`, `onRequest` for authentication … */
  routeOptions?: RouteShorthandOptions
}

/** Options of the plugin and of `createTicketKeys`; all but `metrics`'s objects and `environment` also have a variable. */
export interface TicketKeysOptions {
  /** where keys come from; default `{ type: 'memory' }` */
  source?: SourceOption | KeySource
  /** how long a key issues tickets; default `'1h'` */
  rotationInterval?: Duration
  /** how long a ticket can resume; default `'2h'`, at most 7 days */
  ticketLifetime?: Duration
  /** how long after the full handshake a TLS 1.3 chain of renewed tickets may go on; default `'24h'` */
  maxSessionAge?: Duration
  /** TLS 1.3 tickets after a full handshake, 0 to 16; default 2 */
  ticketsPerHandshake?: number
  /** `false`: no tickets over TLS 1.2, whose resumption has no forward secrecy; default `true` */
  tls12Tickets?: boolean
  /** servers that should accept each other's tickets share it; default `''` */
  sessionIdContext?: string
  /** a ticket resumes only under the server name it was issued for; default `true` */
  bindServerName?: boolean
  /** resume sessions of contexts that an SNICallback chose, with client certificates; default `false` */
  resumeSniCallback?: boolean
  /** refuse key files that others can read, instead of warning; default `false` */
  strictPermissions?: boolean
  /** the metrics routes: `true`, `false`, a path, or more; default `true` */
  metrics?: boolean | string | MetricsOptions
  /** `false`: on a plain HTTP server log a warning and do nothing; default `true` */
  requireTls?: boolean
  /** `true`: where the addon does not load, warn and leave tickets to Node.js; default `false` */
  optional?: boolean
  /** how the environment is read; `false`: not at all */
  environment?: EnvironmentOptions | false
}

/** Options that were checked, with nothing left open. Durations in ms. */
export interface ResolvedOptions {
  policy: NativeOptions
  source: KeySource
  rotationInterval: number
  metrics: MetricsOptions | null
  /** whether the path was asked for by name: then a conflict is an error */
  metricsPathGiven: boolean
  requireTls: boolean
  /** why the addon does not load, where `optional` leaves tickets to Node.js; else `null` */
  unmanaged: Error | null
  /** for the log, once there is one */
  warnings: string[]
}

const DEFAULTS: Readonly<Required<Omit<TicketKeysOptions, 'environment'>>> = Object.freeze({
  source: Object.freeze({ type: 'memory' as const }),
  rotationInterval: '1h',
  ticketLifetime: '2h',
  maxSessionAge: '24h',
  ticketsPerHandshake: 2,
  tls12Tickets: true,
  sessionIdContext: '',
  bindServerName: true,
  resumeSniCallback: false,
  strictPermissions: false,
  metrics: true,
  requireTls: true,
  optional: false
})

/** The options as they are without any given, for documentation and tests. */
export const DEFAULT_OPTIONS: typeof DEFAULTS = DEFAULTS

/**
 * Checks options and fills them up, from the environment first. Throws FST_TICKET_KEYS_OPTIONS, which names every wrong option or
 * variable and no value, FST_TICKET_KEYS_TWO_SOURCES, or what the source says of its keys. The object given is left as it was.
 */
export function resolveOptions (given: TicketKeysOptions, problems = new OptionErrors()): ResolvedOptions {
  const all = checkIsObject(given, problems)
  for (const name of Object.keys(all)) {
    if (!Object.hasOwn(DEFAULTS, name) && name !== 'environment') problems.add(name, 'is not an option')
  }
  const { environment: how, ...rest } = all
  const inCode = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined)) as TicketKeysOptions
  const environment = how === false ? { values: {}, variables: new Map<string, string>(), warnings: [] } : readEnvironment(how ?? {}, { ...inCode }, problems)
  const options = { ...DEFAULTS, ...environment.values as TicketKeysOptions, ...inCode }
  const check = new Check(options, problems, (name) => environment.variables.get(name) ?? name)

  const rotationInterval = check.duration('rotationInterval')
  const ticketLifetime = check.duration('ticketLifetime', MAX_TICKET_LIFETIME, '7 days')
  const maxSessionAge = check.duration('maxSessionAge')
  if (maxSessionAge < ticketLifetime) problems.add(check.name('maxSessionAge'), `must not be shorter than ${check.name('ticketLifetime')}`)
  const policy = {
    ticketLifetime,
    maxSessionAge,
    tls12Tickets: check.boolean('tls12Tickets'),
    bindServerName: check.boolean('bindServerName'),
    resumeSniCallback: check.boolean('resumeSniCallback'),
    ticketsPerHandshake: check.integer('ticketsPerHandshake', 0, 16),
    sessionIdContext: sessionIdContext(check.string('sessionIdContext'))
  }
  const strictPermissions = check.boolean('strictPermissions')
  const requireTls = check.boolean('requireTls')
  const metrics = check.metrics()
  const settings = { rotationInterval, ticketLifetime, strictPermissions, tls12Tickets: policy.tls12Tickets }
  const unmanaged = check.boolean('optional') ? addonProblem() : null
  // A source may need the addon, for locked memory.
  const source = unmanaged === null ? makeSource(options.source, settings, check.name, problems) : absentSource(options.source)
  problems.throwIfAny()
  return {
    policy,
    source: source as KeySource,
    rotationInterval,
    ...metrics,
    requireTls,
    unmanaged,
    warnings: [...environment.warnings, ...withoutEffect(inCode, source), ...inSeconds(options.ticketLifetime, ticketLifetime, check.name('ticketLifetime'))]
  }
}

/** Stands for the source where no keys are managed. */
function absentSource ({ type }: SourceOption | KeySource): KeySource {
  return { type, load: () => null }
}

/** A ring that another thread owns goes by its owner's options; those of the environment are the owner's too. */
function withoutEffect (given: TicketKeysOptions, source: KeySource | undefined): string[] {
  const owners = ['rotationInterval', 'ticketLifetime', 'maxSessionAge', 'ticketsPerHandshake', 'tls12Tickets', 'sessionIdContext', 'bindServerName', 'resumeSniCallback']
  const names = source instanceof ThreadSource ? owners.filter((name) => Object.hasOwn(given, name)) : []
  return names.length === 0 ? [] : [`${names.join(', ')} of a manager with the source 'shared' has no effect: those of the ring's owner hold`]
}

/** Other servers have this in seconds. */
function inSeconds (given: Duration, milliseconds: number, name: string): string[] {
  return Number.isNaN(Number(given)) || milliseconds >= 60_000 ? [] : [`${name} is less than a minute: a number without a unit is milliseconds`]
}

/** The options that were given; none, with the reason noted, where that is not an object. */
export function checkIsObject<Options extends object> (given: Options, problems: OptionErrors): Options {
  if (isPlain(given)) return given
  problems.add('the options', 'must be an object')
  return {} as Options
}

function isPlain (value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** OpenSSL takes at most 32 bytes, and none is a fatal alert with client certificates: a digest is never either. */
function sessionIdContext (given: string): Buffer {
  return createHash('sha256').update('fastify-ticket-keys session id context\0').update(given).digest()
}

/** Looks at options one by one and notes what is wrong; what it returns for a wrong one is never used. */
class Check {
  readonly #options: Required<Omit<TicketKeysOptions, 'environment'>>
  readonly #problems: OptionErrors
  /** what the user called an option: its name, or its variable's */
  readonly name: (option: string) => string

  constructor (options: Required<Omit<TicketKeysOptions, 'environment'>>, problems: OptionErrors, name: (option: string) => string) {
    this.#options = options
    this.#problems = problems
    this.name = name
  }

  duration (option: 'rotationInterval' | 'ticketLifetime' | 'maxSessionAge', most = Infinity, mostText = ''): number {
    const milliseconds = parseDuration(this.#options[option])
    if (milliseconds === undefined) this.#problems.add(this.name(option), `must be ${DURATION_FORM}`)
    else if (milliseconds < MIN_DURATION) this.#problems.add(this.name(option), 'must be at least one second')
    else if (milliseconds > most) this.#problems.add(this.name(option), `must be at most ${mostText}`)
    else return milliseconds
    return NaN
  }

  boolean (option: 'tls12Tickets' | 'bindServerName' | 'resumeSniCallback' | 'strictPermissions' | 'requireTls' | 'optional'): boolean {
    const value: unknown = this.#options[option]
    if (typeof value !== 'boolean') this.#problems.add(this.name(option), 'must be true or false')
    return value === true
  }

  integer (option: 'ticketsPerHandshake', least: number, most: number): number {
    const value: unknown = this.#options[option]
    const right = typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most
    if (!right) this.#problems.add(this.name(option), `must be a whole number from ${least} to ${most}`)
    return right ? value : least
  }

  string (option: 'sessionIdContext'): string {
    const value: unknown = this.#options[option]
    if (typeof value !== 'string') this.#problems.add(this.name(option), 'must be a string')
    return typeof value === 'string' ? value : ''
  }

  metrics (): { metrics: MetricsOptions | null, metricsPathGiven: boolean } {
    const value: unknown = this.#options.metrics
    const name = this.name('metrics')
    if (typeof value === 'boolean') return { metrics: value ? {} : null, metricsPathGiven: false }
    const options = typeof value === 'string' ? { path: value } : value
    if (!isPlain(options)) {
      this.#problems.add(name, 'must be true, false, a path, or an object')
      return { metrics: null, metricsPathGiven: false }
    }
    const { path, instance, register, routeOptions, ...others } = options as Record<string, unknown>
    for (const other of Object.keys(others)) this.#problems.add(`${name}.${other}`, 'is not an option')
    if (path !== undefined && (typeof path !== 'string' || !path.startsWith('/'))) this.#problems.add(name, "must have a path that begins with '/'")
    if (instance !== undefined && typeof (instance as { route?: unknown } | null)?.route !== 'function') this.#problems.add(`${name}.instance`, 'must be a Fastify instance')
    if (register !== undefined && typeof (register as { registerMetric?: unknown } | null)?.registerMetric !== 'function') this.#problems.add(`${name}.register`, 'must be a prom-client registry')
    if (routeOptions !== undefined && !isPlain(routeOptions)) this.#problems.add(`${name}.routeOptions`, 'must be an object')
    return { metrics: options as MetricsOptions, metricsPathGiven: path !== undefined }
  }
}
