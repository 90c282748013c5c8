import { accessSync } from 'node:fs'
import { envSchema } from 'env-schema'
import { debug } from '../util/debug.js'
import type { OptionErrors } from '../util/option-errors.js'
import { checkValues } from './check-values.js'
import { readSecrets, takeSecrets } from './kept-secrets.js'
import {
  ENVIRONMENT, fileVariable, fromText, OPTIONS, SOURCE_VARIABLES, VARIABLES, type EnvironmentOptions, type OptionSchema
} from './schema.js'
import { SourceVariables } from './source-variables.js'

const SECRET_VARIABLES = Object.entries(VARIABLES).filter(([, { secret }]) => secret === true).map(([name]) => name)

/** The variables that select a source. */
const SELECTING_VARIABLES = Object.entries(SOURCE_VARIABLES)
  .filter(([, { namesSource }]) => namesSource === true)
  .flatMap(([name, { hasFile }]) => hasFile === true ? [name, fileVariable(name)] : [name])

/** The options from environment variables. */
export interface Environment {
  /** values by option, not checked yet */
  values: Record<string, unknown>
  /** maps each option, or a part of it such as `source.path`, to its variable */
  variables: Map<string, string>
  source: SourceVariables | null
  /** adds the prefix to the name of a variable; `null` if no variables are read */
  nameOf: ((variable: string) => string) | null
  warnings: string[]
}

/**
 * Reads the variables and deletes those that hold secrets. Their values are kept for the next manager of the process.
 *
 * @param given options in code, which override variables
 * @param keepVariables do not delete variables, because the workers of a cluster need them
 */
export function readEnvironment (
  options: EnvironmentOptions | false, given: object, problems: OptionErrors, keepVariables: boolean
): Environment {
  const nothing: Environment = { values: {}, variables: new Map(), source: null, nameOf: null, warnings: [] }
  if (options === false || checkValues({ environment: options }, ENVIRONMENT, new Map(), problems).size > 0) return nothing
  const { prefix = 'TICKET_KEYS_', dotenv = false, data = process.env } = options
  const nameOf = (variable: string): string => variable === '' ? prefix.replace(/_$/, '') : prefix + variable
  const isOurs = new RegExp(`^(?:${prefix}|${nameOf('')}$)`)
  const set = setVariables(data, isOurs)
  const texts = addDotenv(set, dotenv, isOurs, problems)
  const secretVariables = {
    data, prefix, texts, names: SECRET_VARIABLES.map(nameOf), selecting: SELECTING_VARIABLES.map(nameOf).filter((name) => name in texts)
  }
  const secrets = keepVariables ? readSecrets(secretVariables) : takeSecrets(secretVariables)
  debug('variables: %s', [...new Set([...Object.keys(texts), ...secrets.keys()])].join() || 'none')
  const known = new Set(Object.keys(VARIABLES).map(nameOf))
  const { values, variables } = readOptions((variable) => texts[nameOf(variable)], nameOf, given)
  return {
    values,
    variables,
    source: new SourceVariables({ texts, secrets }, nameOf, variables),
    nameOf,
    warnings: Object.keys(texts).filter((name) => !known.has(name)).map((name) => `${name} is not a variable of fastify-ticket-keys`)
  }
}

/**
 * The variables that have a value. An empty value counts as unset, because Compose files unset variables in this way.
 */
function setVariables (data: NodeJS.ProcessEnv, isOurs: RegExp): Record<string, string> {
  const entries = Object.entries(data).filter(([name, value]) => isOurs.test(name) && value !== undefined && value !== '')
  return Object.fromEntries(entries.map(([name, value]) => [name, String(value)]))
}

function addDotenv (
  set: Record<string, string>, dotenv: EnvironmentOptions['dotenv'], isOurs: RegExp, problems: OptionErrors
): Record<string, string> {
  const schema = { type: 'object', patternProperties: { [isOurs.source]: { type: 'string' } } }
  const path = typeof dotenv === 'object' ? dotenv.path : undefined
  try {
    // env-schema ignores a missing file. This is right for the default path only.
    if (path !== undefined) accessSync(path)
    return setVariables(envSchema<Record<string, string>>({ schema, data: { ...set }, env: false, dotenv: dotenv as boolean }), isOurs)
  } catch (error) {
    problems.add('environment.dotenv', `names ${path ?? '.env'}, which can't be read: ${(error as NodeJS.ErrnoException).code}`)
    return set
  }
}

function readOptions (
  textOf: (variable: string) => string | undefined, nameOf: (variable: string) => string, given: object
): Pick<Environment, 'values' | 'variables'> {
  const values: Record<string, unknown> = {}
  const variables = new Map<string, string>()
  const read = (name: string, { variable = '', ...schema }: OptionSchema, store: (value: unknown) => void): void => {
    const text = variable === '' ? undefined : textOf(variable)
    if (text === undefined) return
    variables.set(name, nameOf(variable))
    store(fromText(text, schema))
  }
  const schemas: Array<[string, OptionSchema]> = Object.entries(OPTIONS)
  for (const [option, schema] of schemas.filter(([name]) => !Object.hasOwn(given, name))) {
    read(option, schema, (value) => { values[option] = value })
    for (const [part, partSchema] of Object.entries(schema.properties ?? {})) {
      read(`${option}.${part}`, partSchema, (value) => {
        if (value === partSchema.off) values[option] = false
        else if (values[option] !== false) values[option] = { ...values[option] as object | undefined, [part]: value }
      })
    }
  }
  return { values, variables }
}
