import { createHash } from 'node:crypto'
import { addonProblem } from '../native/binding.js'
import type { NativeOptions, SessionDataFunction } from '../native/types.js'
import { ClusterSource, primaryShares } from '../sources/cluster-worker.js'
import type { KeySource } from '../sources/key-source.js'
import { makeSource } from '../sources/make-source.js'
import { ThreadSource } from '../sources/other-thread.js'
import { looksLikeSeconds, parseDuration } from '../util/duration.js'
import { OptionErrors } from '../util/option-errors.js'
import { checkValues } from './check-values.js'
import { readEnvironment, type Environment } from './environment.js'
import { DEFAULT_OPTIONS, OPTIONS, type MetricsOptions, type OptionSchema, type Settings, type TicketKeysOptions } from './schema.js'

export type { EnvironmentOptions, MetricsOptions, TicketKeysOptions } from './schema.js'

/** Without time synchronization, the clocks of hosts differ by minutes. */
const MIN_CLOCK_SKEW_MS = 5 * 60_000

/** Checked options, complete. Durations in ms. */
export interface ResolvedOptions {
  policy: NativeOptions
  source: KeySource
  rotationInterval: number
  sessionData: SessionDataFunction | null
  metrics: MetricsOptions | null
  /** whether the user named the path; a conflict is then an error */
  metricsPathGiven: boolean
  requireTls: boolean
  /** why the addon does not load, if `optional` leaves tickets to Node.js; else `null` */
  unmanaged: Error | null
  /** to be logged once there is a logger */
  warnings: string[]
}

/**
 * Checks the options. Fills in missing options from the variables, and then from the defaults. Throws
 * FST_TICKET_KEYS_OPTIONS, which names every wrong option and variable but no value; FST_TICKET_KEYS_TWO_SOURCES; or an
 * error of the source about its keys.
 *
 * @param given is not changed
 * @param keepVariables do not delete the variables that hold secrets
 */
export function resolveOptions (given: TicketKeysOptions, problems = new OptionErrors(), keepVariables = false): ResolvedOptions {
  const { environment: how, ...rest } = checkIsObject(given, problems)
  const inCode = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined))
  const environment = readEnvironment(how ?? {}, inCode, problems, keepVariables)
  const settings: Settings = { ...DEFAULT_OPTIONS, ...environment.values, ...inCode }
  const wrong = checkValues(settings, OPTIONS, environment.variables, problems)
  const isGiven = (option: string): boolean => environment.variables.has(option) || Object.hasOwn(inCode, option)
  const nameOf = (option: string): string => {
    if (!isGiven(option)) return withDefault(option, environment)
    const name = environment.variables.get(option) ?? option
    return meansSeconds(option, settings) ? `${name} (in milliseconds, because it has no unit)` : name
  }

  // A wrong duration becomes NaN. Comparisons with NaN are false, so it causes no second problem.
  const milliseconds = (option: keyof Settings): number => wrong.has(option) ? NaN : parseDuration(settings[option]) as number
  const rotationInterval = milliseconds('rotationInterval')
  const ticketLifetime = milliseconds('ticketLifetime')
  const maxSessionAge = milliseconds('maxSessionAge')
  if (maxSessionAge < ticketLifetime) problems.add(nameOf('maxSessionAge'), `must not be shorter than ${nameOf('ticketLifetime')}`)

  const { tls12Tickets, bindServerName, resumeSniCallback, ticketsPerHandshake, sessionIdContext, requireTls, optional } = settings
  const unmanaged = optional === true ? addonProblem() : null
  const sourceSettings = { rotationInterval, ticketLifetime, tls12Tickets, strictPermissions: settings.strictPermissions === true }
  // A source needs the addon, for locked memory.
  const source = unmanaged === null
    ? makeSource(sourceOf(settings, inCode, environment, problems), sourceSettings, nameOf, problems)
    : absentSource(environment.source?.type ?? settings.source.type)
  problems.throwIfAny()
  return {
    policy: {
      ticketLifetime,
      maxSessionAge,
      maxClockSkew: Math.max(MIN_CLOCK_SKEW_MS, rotationInterval),
      tls12Tickets,
      bindServerName,
      resumeSniCallback,
      ticketsPerHandshake,
      sessionIdContext: digest(sessionIdContext)
    },
    source: source as KeySource,
    rotationInterval,
    sessionData: settings.sessionData,
    ...resolveMetrics(settings.metrics),
    requireTls,
    unmanaged,
    warnings: [
      ...environment.warnings, ...environment.source?.warnings ?? [], ...withoutEffect(inCode, source),
      ...withoutUnit(settings, environment.variables), ...notFromPrimary(source)
    ]
  }
}

/** The source given in code, else the one that the variables name. */
function sourceOf (
  { source, strictPermissions }: Settings, inCode: object, environment: Environment, problems: OptionErrors
): Settings['source'] {
  // If the cluster's primary shares its keys, the source variables are for the primary and not for this worker.
  if (Object.hasOwn(inCode, 'source') || environment.source === null || primaryShares()) return source
  return environment.source.read(strictPermissions === true, problems) ?? source
}

/** A placeholder for the source if no keys are managed. */
function absentSource (type: string): KeySource {
  return { type, load: () => null }
}

/** Names an option that was not given, for messages: with its variable and its default. */
function withDefault (option: string, { nameOf }: Environment): string {
  const schema: (OptionSchema & { default: unknown }) | undefined = OPTIONS[option as keyof Settings]
  if (schema?.variable === undefined) return option
  return `${option} (${nameOf === null ? '' : `${nameOf(schema.variable)}, `}default ${String(schema.default)})`
}

function resolveMetrics (metrics: Settings['metrics']): Pick<ResolvedOptions, 'metrics' | 'metricsPathGiven'> {
  if (typeof metrics === 'boolean') return { metrics: metrics ? {} : null, metricsPathGiven: false }
  const options = typeof metrics === 'string' ? { path: metrics } : metrics
  return { metrics: options, metricsPathGiven: options.path !== undefined }
}

/** A ring of another thread uses the options of its owner. Options from variables are the owner's options too. */
function withoutEffect (inCode: object, source: KeySource | undefined): string[] {
  const owners = [
    'rotationInterval', 'ticketLifetime', 'maxSessionAge', 'ticketsPerHandshake', 'tls12Tickets', 'sessionIdContext', 'bindServerName',
    'resumeSniCallback'
  ]
  const names = source instanceof ThreadSource ? owners.filter((name) => Object.hasOwn(inCode, name)) : []
  if (names.length === 0) return []
  return [`${names.join(', ')} of a manager with the source 'shared' has no effect: set it where the keys are made`]
}

/** A source in code overrides the keys of the cluster's primary. */
function notFromPrimary (source: KeySource | undefined): string[] {
  if (!primaryShares() || source === undefined || source instanceof ClusterSource || source instanceof ThreadSource) return []
  return [`this cluster worker has the source '${source.type}' in code, and does not take the keys that the primary shares`]
}

/** Durations without a unit may be mistakes, because other servers take seconds. */
function meansSeconds (option: string, settings: Settings): boolean {
  const schema: OptionSchema | undefined = OPTIONS[option as keyof Settings]
  return schema?.schema.duration !== undefined && looksLikeSeconds(settings[option as keyof Settings])
}

function withoutUnit (settings: Settings, variables: ReadonlyMap<string, string>): string[] {
  return Object.keys(OPTIONS).filter((option) => meansSeconds(option, settings))
    .map((option) => variables.get(option) ?? option)
    .map((name) => `${name} has no unit, so its number is in milliseconds: write a unit, such as '90s' or '2h'`)
}

/** Returns the given options. If they are not an object, adds a problem and returns no options. */
export function checkIsObject<Options extends object> (given: Options, problems: OptionErrors): Options {
  if (typeof given === 'object' && given !== null && !Array.isArray(given)) return given
  problems.add('the options', 'must be an object')
  return {} as Options
}

/**
 * OpenSSL takes at most 32 bytes. An empty session ID context causes a fatal alert with client certificates. A digest
 * avoids both problems.
 */
function digest (sessionIdContext: unknown): Buffer {
  return createHash('sha256').update('fastify-ticket-keys session id context\0').update(String(sessionIdContext)).digest()
}
