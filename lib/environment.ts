import { readFileSync } from 'node:fs'
import { envSchema } from 'env-schema'
import { DURATION_FORM } from './duration.js'
import { TwoSourcesError } from './errors.js'
import { KEY_FORMATS, type KeyFormat } from './keys/formats/index.js'
import type { Problems } from './problems.js'
import type { SourceOption } from './sources/index.js'

/** How the environment is read. */
export interface EnvironmentOptions {
  /** what variables begin with; default `TICKET_KEYS_` */
  prefix?: string
  /** for env-schema: `true`, or dotenv's options, to read a `.env` file too; default `false` */
  dotenv?: boolean | Record<string, unknown>
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
  /** which variable an option came from */
  variables: Map<string, string>
  warnings: string[]
}

/** Reads the variables, notes what is wrong with them and deletes those that are secrets. Throws FST_TICKET_KEYS_TWO_SOURCES. */
export function readEnvironment ({ prefix = 'TICKET_KEYS_', dotenv = false, data = process.env }: EnvironmentOptions, problems: Problems): Environment {
  const nameOf = (variable: string): string => variable === '' ? prefix.replace(/_$/, '') : prefix + variable
  const found = validate(nameOf, dotenv, data, problems)
  const values: Record<string, unknown> = {}
  const variables = new Map<string, string>()
  for (const [variable, { option, secret }] of Object.entries(VARIABLES)) {
    const name = nameOf(variable)
    if (secret === true) Reflect.deleteProperty(data, name)
    if (option === undefined || found[name] === undefined) continue
    values[option] = variable === 'METRICS_PATH' && found[name] === 'off' ? false : found[name]
    variables.set(option, name)
  }
  const source = readSource((variable) => found[nameOf(variable)] as string | undefined, nameOf, problems)
  if (source !== undefined) {
    values['source'] = source.option
    variables.set('source', source.variable)
  }
  const known = new Set(Object.keys(VARIABLES).map(nameOf))
  const warnings = Object.keys(data).filter((name) => name.startsWith(prefix) && !known.has(name))
    .map((name) => `${name} is not a variable of fastify-ticket-keys`)
  return { values, variables, warnings }
}

/** The variables that are set and right. An empty one is as good as none: that is how compose files leave them out. */
function validate (nameOf: (variable: string) => string, dotenv: EnvironmentOptions['dotenv'], data: NodeJS.ProcessEnv, problems: Problems): Record<string, unknown> {
  // env-schema changes the schema and the data that it is given: both are copies.
  const properties = Object.fromEntries(Object.entries(VARIABLES).map(([variable, { schema }]) => [nameOf(variable), structuredClone(schema)]))
  const set = Object.fromEntries(Object.entries(data).filter(([name, value]) => Object.hasOwn(properties, name) && value !== ''))
  try {
    return envSchema<Record<string, unknown>>({ schema: { type: 'object', properties }, data: set, env: false, dotenv: dotenv as boolean })
  } catch (error) {
    const { errors } = error as { errors?: Array<{ instancePath: string }> }
    if (errors === undefined) throw error
    for (const name of new Set(errors.map(({ instancePath }) => instancePath.slice(1)))) {
      const variable = Object.keys(VARIABLES).find((candidate) => nameOf(candidate) === name) as string
      problems.add(name, `must be ${(VARIABLES[variable] as Variable).form}`)
    }
    return {}
  }
}

type Get = (variable: string) => string | undefined

/** The source that variables name, and the variable that names it. */
function readSource (get: Get, nameOf: (variable: string) => string, problems: Problems): { option: SourceOption, variable: string } | undefined {
  for (const [one, other] of [['SECRET', 'SECRET_FILE'], ['PREVIOUS_SECRET', 'PREVIOUS_SECRET_FILE']] as const) {
    if (get(one) !== undefined && get(other) !== undefined) throw new TwoSourcesError(`${nameOf(one)} and ${nameOf(other)} are both set; set one`)
  }
  const named = ['', 'SECRET', 'SECRET_FILE', 'FILE', 'DIRECTORY'].filter((variable) => get(variable) !== undefined)
  if (named.length > 1) throw new TwoSourcesError(`${named.map(nameOf).join(' and ')} each name a source; set one`)
  const [variable] = named
  if (get('FORMAT') !== undefined && variable !== 'FILE' && variable !== 'DIRECTORY') problems.add(nameOf('FORMAT'), `needs ${nameOf('FILE')} or ${nameOf('DIRECTORY')}`)
  const previous = ['PREVIOUS_SECRET', 'PREVIOUS_SECRET_FILE'].find((candidate) => get(candidate) !== undefined)
  const isSecret = variable === 'SECRET' || variable === 'SECRET_FILE'
  if (previous !== undefined && !isSecret) problems.add(nameOf(previous), `needs ${nameOf('SECRET')} or ${nameOf('SECRET_FILE')}`)
  if (variable === undefined) return undefined
  const value = get(variable) as string
  if (isSecret) {
    const read = (name: string): string | Buffer => name.endsWith('_FILE') ? readSecretFile(get(name) as string, nameOf(name), problems) : get(name) as string
    return { option: { type: 'secret', secret: read(variable), previousSecrets: previous === undefined ? [] : [read(previous)] }, variable: nameOf(variable) }
  }
  if (variable === '') return { option: { type: 'static', keys: readStaticKeys(value, nameOf(''), problems) }, variable: nameOf('') }
  const format = get('FORMAT') as KeyFormat | undefined
  return { option: { type: variable === 'FILE' ? 'file' : 'directory', path: value, ...(format === undefined ? {} : { format }) }, variable: nameOf(variable) }
}

/** Without the line end that editors and `echo` leave, so that a secret is the same from a file and from a variable. */
function readSecretFile (file: string, name: string, problems: Problems): Buffer {
  try {
    const bytes = readFileSync(file)
    const end = bytes.at(-1) === 10 ? (bytes.at(-2) === 13 ? 2 : 1) : 0
    return bytes.subarray(0, bytes.length - end)
  } catch (error) {
    problems.add(name, `names a file that can't be read (${(error as NodeJS.ErrnoException).code ?? 'error'})`)
    return Buffer.alloc(0)
  }
}

function readStaticKeys (value: string, name: string, problems: Problems): Buffer[] {
  return value.split(',').map((part, index) => {
    const bytes = Buffer.from(part.trim(), 'base64')
    if (!/^[A-Za-z0-9+/]+={0,2}$/.test(part.trim()) || bytes.length !== 80) problems.add(name, `must be ${(VARIABLES[''] as Variable).form} (key ${index + 1} is not)`)
    return bytes
  })
}
