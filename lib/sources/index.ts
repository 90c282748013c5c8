import { KEY_FORMATS, type KeyFormat } from '../keys/formats/index.js'
import { MAX_KEYS } from '../keys/key.js'
import type { Problems } from '../problems.js'
import { DirectorySource, FileSource } from './files.js'
import { keysHeld, MemorySource } from './memory.js'
import { MIN_SECRET, SecretSource } from './secret.js'
import type { KeySource } from './source.js'
import { StaticSource, type StaticKey } from './static.js'

/** The sources that come with the package, as options. */
export type SourceOption =
  | { type: 'memory' }
  | { type: 'static', keys: readonly StaticKey[] }
  | { type: 'secret', secret: string | Buffer, previousSecrets?: ReadonlyArray<string | Buffer> }
  | { type: 'file', path: string, format?: KeyFormat }
  | { type: 'directory', path: string, format?: KeyFormat }

/** What sources need of the other options. Durations in ms. */
export interface SourceSettings {
  rotationInterval: number
  ticketLifetime: number
  strictPermissions: boolean
  tls12Tickets: boolean
}

const TYPES = "'memory', 'static', 'secret', 'file', 'directory' or an object with the KeySource interface"

/** The members that each type takes. */
const MEMBERS: Record<SourceOption['type'], readonly string[]> = {
  memory: [],
  static: ['keys'],
  secret: ['secret', 'previousSecrets'],
  file: ['path', 'format'],
  directory: ['path', 'format']
}

/** Makes the source that an option names; `undefined`, with the reasons noted, where it is wrong. @param name of the option, for messages */
export function makeSource (option: SourceOption | KeySource, settings: SourceSettings, name: string, problems: Problems): KeySource | undefined {
  if (typeof option !== 'object' || option === null) {
    problems.add(name, `must be ${TYPES}`)
    return undefined
  }
  if ('load' in option) {
    if (typeof option.load === 'function' && typeof option.type === 'string') return option
    problems.add(name, 'must have a type (a string) and a load function')
    return undefined
  }
  if (!Object.hasOwn(MEMBERS, option.type)) {
    problems.add(`${name}.type`, `must be ${TYPES}`)
    return undefined
  }
  for (const member of Object.keys(option)) {
    if (member !== 'type' && !MEMBERS[option.type].includes(member)) problems.add(`${name}.${member}`, `is not an option of the source '${option.type}'`)
  }
  switch (option.type) {
    case 'memory': return makeMemory(settings, name, problems)
    case 'static': return makeStatic(option.keys, name, problems)
    case 'secret': return makeSecret(option, settings, name, problems)
    default: return makeFiles(option, settings, name, problems)
  }
}

function fits ({ rotationInterval, ticketLifetime }: SourceSettings, problems: Problems): boolean {
  if (Number.isNaN(rotationInterval) || Number.isNaN(ticketLifetime)) return false
  if (keysHeld(rotationInterval, ticketLifetime) <= MAX_KEYS) return true
  problems.add('rotationInterval', `is too short for ticketLifetime: more than ${MAX_KEYS} keys would have to be held`)
  return false
}

function makeMemory (settings: SourceSettings, _name: string, problems: Problems): KeySource | undefined {
  return fits(settings, problems) ? new MemorySource(settings.rotationInterval, settings.ticketLifetime) : undefined
}

function makeStatic (keys: unknown, name: string, problems: Problems): KeySource | undefined {
  if (!Array.isArray(keys) || keys.length === 0) {
    problems.add(`${name}.keys`, 'must be an array of at least one key')
    return undefined
  }
  let right = true
  keys.forEach((key: unknown, index) => {
    const problem = staticKeyProblem(key)
    if (problem === undefined) return
    right = false
    problems.add(`${name}.keys[${index}]`, problem)
  })
  return right ? new StaticSource(keys as StaticKey[], `${name}.keys`) : undefined
}

function staticKeyProblem (key: unknown): string | undefined {
  if (Buffer.isBuffer(key)) return key.length === 80 || key.length === 48 ? undefined : 'must have 80 bytes (nginx80 layout) or 48 (Node.js layout)'
  if (typeof key !== 'object' || key === null) return 'must be a Buffer, or an object with name, aesKey and hmacKey'
  const { name, aesKey, hmacKey, notBefore, issueUntil, acceptUntil } = key as Record<string, unknown>
  if (!Buffer.isBuffer(name) || name.length !== 16) return 'must have a name of 16 bytes'
  if (!Buffer.isBuffer(aesKey) || !Buffer.isBuffer(hmacKey) || aesKey.length !== hmacKey.length ||
    (aesKey.length !== 16 && aesKey.length !== 32)) return 'must have an aesKey and an hmacKey of 32 bytes each, or 16 each'
  for (const time of [notBefore, issueUntil, acceptUntil]) {
    if (time !== undefined && (typeof time !== 'number' || Number.isNaN(time))) return 'must have times in milliseconds since 1970'
  }
  return undefined
}

function makeSecret ({ secret, previousSecrets = [] }: { secret: unknown, previousSecrets?: unknown }, settings: SourceSettings, name: string, problems: Problems): KeySource | undefined {
  if (!Array.isArray(previousSecrets)) {
    problems.add(`${name}.previousSecrets`, 'must be an array')
    return undefined
  }
  const secrets: unknown[] = [secret, ...previousSecrets]
  let right = true
  secrets.forEach((value, index) => {
    const bytes = typeof value === 'string' || Buffer.isBuffer(value) ? Buffer.from(value) : undefined
    const label = index === 0 ? `${name}.secret` : `${name}.previousSecrets[${index - 1}]`
    const problem = bytes === undefined
      ? 'must be a string or a Buffer'
      : bytes.length < MIN_SECRET
        ? `must have at least ${MIN_SECRET} bytes`
        : bytes.every((byte) => byte === bytes[0]) ? 'must not be one byte repeated' : undefined
    bytes?.fill(0)
    if (problem === undefined) return
    right = false
    problems.add(label, problem)
  })
  if (!fits(settings, problems) || !right) return undefined
  return new SecretSource(secrets as Array<string | Buffer>, settings)
}

function makeFiles ({ type, path, format }: { type: 'file' | 'directory', path: unknown, format?: unknown }, { strictPermissions }: SourceSettings, name: string, problems: Problems): KeySource | undefined {
  const known = format === undefined || (KEY_FORMATS as readonly unknown[]).includes(format)
  if (!known) problems.add(`${name}.format`, `must be one of ${KEY_FORMATS.join(', ')}`)
  if (typeof path !== 'string' || path === '') problems.add(`${name}.path`, 'must be a path')
  else if (known) return new (type === 'file' ? FileSource : DirectorySource)(path, format as KeyFormat | undefined, strictPermissions)
  return undefined
}
