import { envSchema } from 'env-schema'
import { DURATION_FORM } from '../util/duration.js'
import { addonProblem } from '../native/binding.js'
import { TwoSourcesError } from '../util/errors.js'
import { decodeBase64 } from '../keys/base64.js'
import { KEY_FORMATS, type KeyFormat } from '../keys/formats/index.js'
import type { OptionErrors } from '../util/option-errors.js'
import { allocateSecret } from '../native/secret-memory.js'
import type { SourceOption } from '../sources/make-source.js'
import { problemOf, readSecretFile } from '../sources/read-key-files.js'

/** How the environment is read. */
export interface EnvironmentOptions {
  /** what variables begin with; default `TICKET_KEYS_` */
  prefix?: string
  /** for env-schema: `true` to read a `.env` file too, or where it is; what is set already wins; default `false` */
  dotenv?: boolean | { path?: string, encoding?: BufferEncoding }
  /** instead of `process.env`; secrets are deleted from it */
  data?: NodeJS.ProcessEnv
}

interface Variable {
  /** the option it stands for; none for those of the source */
  option?: string
  schema: Record<string, unknown>
  /** what it should look like, for messages */
  form: string
  /** deleted from the environment once read */
  secret?: true
}

const duration = { schema: { type: 'string', pattern: String.raw`^\s*\d+(\.\d+)?\s*(ms|s|m|h|d)?\s*$` }, form: DURATION_FORM }
const flag = { schema: { type: 'boolean' }, form: 'true or false' }
const text = { schema: { type: 'string' }, form: 'a string' }
const path = { schema: { type: 'string' }, form: 'a path' }

/** Every variable without its prefix, `''` standing for the prefix itself without its last underscore. */
export const VARIABLES: Readonly<Record<string, Variable>> = {
  ROTATION_INTERVAL: { option: 'rotationInterval', ...duration },
  TICKET_LIFETIME: { option: 'ticketLifetime', ...duration },
  MAX_SESSION_AGE: { option: 'maxSessionAge', ...duration },
  TICKETS_PER_HANDSHAKE: { option: 'ticketsPerHandshake', schema: { type: 'integer', minimum: 0, maximum: 16 }, form: 'a whole number from 0 to 16' },
  TLS12_TICKETS: { option: 'tls12Tickets', ...flag },
  SESSION_ID_CONTEXT: { option: 'sessionIdContext', ...text },
  BIND_SERVER_NAME: { option: 'bindServerName', ...flag },
  RESUME_SNI_CALLBACK: { option: 'resumeSniCallback', ...flag },
  STRICT_PERMISSIONS: { option: 'strictPermissions', ...flag },
  METRICS_PATH: { option: 'metrics', schema: { type: 'string', pattern: '^(off|/.*)$' }, form: "a path that begins with '/', or off" },
  REQUIRE_TLS: { option: 'requireTls', ...flag },
  OPTIONAL: { option: 'optional', ...flag },
  '': { schema: { type: 'string' }, form: 'comma-separated base64, 80 bytes a key: name, HMAC key, AES key', secret: true },
  SECRET: { ...text, secret: true },
  SECRET_FILE: path,
  PREVIOUS_SECRET: { ...text, secret: true },
  PREVIOUS_SECRET_FILE: path,
  FILE: path,
  DIRECTORY: path,
  FORMAT: { schema: { type: 'string', enum: [...KEY_FORMATS] }, form: `one of ${KEY_FORMATS.join(', ')}` }
}

/** What the environment says. */
export interface Environment {
  /** by option, still to be checked against each other */
  values: Record<string, unknown>
  /** which variable an option, or a part of it such as `source.path`, came from */
  variables: Map<string, string>
  warnings: string[]
}

/**
 * Reads the variables, notes what is wrong with them and deletes those that are secrets. Throws FST_TICKET_KEYS_TWO_SOURCES.
 *
 * @param given options in code, which win
 */
export function readEnvironment (options: EnvironmentOptions, given: Readonly<Record<string, unknown>>, problems: OptionErrors): Environment {
  if (!checkOptions(options, problems)) return { values: {}, variables: new Map(), warnings: [] }
  const { prefix = 'TICKET_KEYS_', dotenv = false, data = process.env } = options
  const nameOf = (variable: string): string => variable === '' ? prefix.replace(/_$/, '') : prefix + variable
  const texts = collect(prefix, nameOf(''), dotenv, data)
  const found = validate(nameOf, texts, problems)
  const values: Record<string, unknown> = {}
  const variables = new Map<string, string>()
  for (const [variable, { option, secret }] of Object.entries(VARIABLES)) {
    const name = nameOf(variable)
    if (secret === true) Reflect.deleteProperty(data, name)
    if (option === undefined || found[name] === undefined || Object.hasOwn(given, option)) continue
    values[option] = variable === 'METRICS_PATH' && found[name] === 'off' ? false : found[name]
    variables.set(option, name)
  }
  const known = new Set(Object.keys(VARIABLES).map(nameOf))
  const warnings = Object.keys(texts).filter((name) => !known.has(name)).map((name) => `${name} is not a variable of fastify-ticket-keys`)
  const optional = (given['optional'] ?? values['optional']) === true
  // Reading a secret needs the addon, for locked memory.
  if (!Object.hasOwn(given, 'source') && !(optional && addonProblem() !== null)) {
    const strict = (given['strictPermissions'] ?? values['strictPermissions']) === true
    const source = new SourceReader((variable) => found[nameOf(variable)] as string | undefined, nameOf, strict, problems)
    values['source'] = source.read()
    for (const [part, variable] of source.variables) variables.set(part, variable)
    warnings.push(...source.warnings)
  }
  if (values['source'] === undefined) delete values['source']
  return { values, variables, warnings }
}

function checkOptions (options: unknown, problems: OptionErrors): boolean {
  if (typeof options !== 'object' || options === null) {
    problems.add('environment', 'must be false or an object')
    return false
  }
  const { prefix, dotenv, data, ...others } = options as Record<string, unknown>
  const wrong = Object.keys(others)
  for (const other of wrong) problems.add(`environment.${other}`, 'is not an option')
  const check = (name: string, right: boolean, form: string): boolean => {
    if (!right) problems.add(`environment.${name}`, `must be ${form}`)
    return right
  }
  const isObject = (value: unknown): boolean => typeof value === 'object' && value !== null
  return [
    check('prefix', prefix === undefined || (typeof prefix === 'string' && /^[A-Za-z_][A-Za-z0-9_]*$/.test(prefix)), 'letters, digits and underscores'),
    check('dotenv', dotenv === undefined || typeof dotenv === 'boolean' || isObject(dotenv), 'true, false or an object'),
    check('data', data === undefined || isObject(data), 'an object')
  ].every(Boolean) && wrong.length === 0
}

/** What is set under the prefix, known or not. An empty variable is as good as none: that is how compose files leave them out. */
function collect (prefix: string, bare: string, dotenv: EnvironmentOptions['dotenv'], data: NodeJS.ProcessEnv): Record<string, string> {
  const named = new RegExp(`^(?:${prefix}|${bare}$)`)
  const set = Object.fromEntries(Object.entries(data).filter(([name, value]) => named.test(name) && value !== ''))
  const schema = { type: 'object', patternProperties: { [named.source]: { type: 'string' } } }
  const texts = envSchema<Record<string, string>>({ schema, data: set, env: false, dotenv: dotenv as boolean })
  return Object.fromEntries(Object.entries(texts).filter(([, value]) => value !== ''))
}

/** The values of the variables that are right, as their types. */
function validate (nameOf: (variable: string) => string, texts: Record<string, string>, problems: OptionErrors): Record<string, unknown> {
  const wrong = new Set<string>()
  for (;;) {
    // env-schema changes the schema that it is given: it is a copy.
    const properties = Object.fromEntries(Object.entries(VARIABLES).map(([variable, { schema }]) => [nameOf(variable), structuredClone(schema)]))
    const data = Object.fromEntries(Object.entries(texts).filter(([name]) => !wrong.has(name)))
    try {
      return envSchema<Record<string, unknown>>({ schema: { type: 'object', properties }, data, env: false })
    } catch (error) {
      // The schema is right: what is thrown is about values.
      const { errors } = error as { errors: Array<{ instancePath: string }> }
      for (const name of new Set(errors.map(({ instancePath }) => instancePath.slice(1)))) {
        const variable = Object.keys(VARIABLES).find((candidate) => nameOf(candidate) === name) as string
        problems.add(name, `must be ${(VARIABLES[variable] as Variable).form}`)
        wrong.add(name)
      }
    }
  }
}

/** Puts the source together that variables name. */
class SourceReader {
  /** which variable a part of the source came from */
  readonly variables = new Map<string, string>()
  readonly warnings: string[] = []
  readonly #get: (variable: string) => string | undefined
  readonly #nameOf: (variable: string) => string
  readonly #strict: boolean
  readonly #problems: OptionErrors

  constructor (get: (variable: string) => string | undefined, nameOf: (variable: string) => string, strict: boolean, problems: OptionErrors) {
    this.#get = get
    this.#nameOf = nameOf
    this.#strict = strict
    this.#problems = problems
  }

  read (): SourceOption | undefined {
    const secret = this.#oneOf('SECRET', 'SECRET_FILE')
    const previous = this.#oneOf('PREVIOUS_SECRET', 'PREVIOUS_SECRET_FILE')
    const named = ['', 'SECRET', 'SECRET_FILE', 'FILE', 'DIRECTORY'].filter((variable) => this.#get(variable) !== undefined)
    if (named.length > 1) throw new TwoSourcesError(`${named.map(this.#nameOf).join(' and ')} each name a source; set one`)
    const [variable] = named
    if (previous !== undefined && secret === undefined) this.#needs(previous, 'SECRET', 'SECRET_FILE')
    const format = this.#get('FORMAT') as KeyFormat | undefined
    if (format !== undefined && variable !== 'FILE' && variable !== 'DIRECTORY') this.#needs('FORMAT', 'FILE', 'DIRECTORY')
    if (secret !== undefined) {
      const previousSecrets = previous === undefined ? [] : [this.#secret(previous, 'source.previousSecrets[0]')]
      return { type: 'secret', secret: this.#secret(secret, 'source.secret'), previousSecrets }
    }
    if (variable === undefined) return undefined
    if (variable === '') return this.#static()
    const path = this.#take(variable, 'source.path')
    return { type: variable === 'FILE' ? 'file' : 'directory', path, ...(format === undefined ? {} : { format }) }
  }

  #take (variable: string, part: string): string {
    this.variables.set(part, this.#nameOf(variable))
    return this.#get(variable) as string
  }

  #oneOf (variable: string, twin: string): string | undefined {
    const [one, other] = [variable, twin].filter((candidate) => this.#get(candidate) !== undefined)
    if (other !== undefined) throw new TwoSourcesError(`${this.#nameOf(variable)} and ${this.#nameOf(twin)} are both set; set one`)
    return one
  }

  #needs (variable: string, one: string, other: string): void {
    this.#problems.add(this.#nameOf(variable), `needs ${this.#nameOf(one)} or ${this.#nameOf(other)}`)
  }

  #secret (variable: string, part: string): string | Buffer {
    const value = this.#take(variable, part)
    if (!variable.endsWith('_FILE')) return value
    try {
      const { secret, warning } = readSecretFile(value, this.#strict)
      if (warning !== undefined) this.warnings.push(`${this.#nameOf(variable)} names a file that ${warning}`)
      return secret
    } catch (error) {
      this.#problems.add(this.#nameOf(variable), `names a file that ${problemOf(error)}`)
      // Not a second problem.
      return Buffer.from(Array.from({ length: 64 }, (_, index) => index))
    }
  }

  #static (): SourceOption | undefined {
    const parts = this.#take('', 'source.keys').split(',')
    const keys = parts.flatMap((part, index) => {
      // `openssl rand -base64 80` breaks the line.
      const text = Buffer.from(part.replace(/\s/g, ''))
      const bytes = decodeBase64(text, allocateSecret)
      text.fill(0)
      if (bytes?.length === 80) return bytes
      this.#problems.add(this.#nameOf(''), `must be ${(VARIABLES[''] as Variable).form} (key ${index + 1} is not)`)
      return []
    })
    return keys.length === parts.length ? { type: 'static', keys } : undefined
  }
}
