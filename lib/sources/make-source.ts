import cluster from 'node:cluster'
import { isKeyLength, shapeProblem, weakKeys } from '../keys/validate.js'
import { KEY_FORMATS, type KeyFormat } from '../keys/formats/index.js'
import { ISSUES, MAX_KEYS, type KeyMaterial } from '../keys/key.js'
import { keysHeld } from '../keys/timetable.js'
import type { OptionErrors } from '../util/option-errors.js'
import { ClusterSource } from './cluster-worker.js'
import { DirectorySource, FileSource } from './watched-files.js'
import { MemorySource } from './memory.js'
import { secretProblem } from './secret-problem.js'
import { SecretSource } from './secret.js'
import { ThreadSource } from './other-thread.js'
import type { KeySource } from './key-source.js'
import { partsOf, StaticSource, timesOf, type StaticKey } from './static.js'

/** Options for the sources of this package. */
export type SourceOption =
  | { type: 'memory' }
  | { type: 'static', keys: readonly StaticKey[] }
  | { type: 'secret', secret: string | Buffer, previousSecrets?: ReadonlyArray<string | Buffer> }
  | { type: 'file' | 'directory', path: string, format?: KeyFormat }
  | { type: 'shared', handle: number }

/** The other options that sources need. Durations are in ms. */
export interface SourceSettings {
  rotationInterval: number
  ticketLifetime: number
  strictPermissions: boolean
  tls12Tickets: boolean
}

const TYPES = "'memory', 'static', 'secret', 'file', 'directory' or 'shared'"

/** The properties that each type accepts. */
const MEMBERS: Record<SourceOption['type'], readonly string[]> = {
  memory: [],
  static: ['keys'],
  secret: ['secret', 'previousSecrets'],
  file: ['path', 'format'],
  directory: ['path', 'format'],
  shared: ['handle']
}

/** Returns the user's name for an option such as `source.path`: its name in code, or its environment variable. */
type NameOf = (option: string) => string

/** Makes the source for an option. If the option is wrong, adds the errors to `problems` and returns `undefined`. */
export function makeSource (
  option: SourceOption | KeySource, settings: SourceSettings, name: NameOf, problems: OptionErrors
): KeySource | undefined {
  if (typeof option !== 'object' || option === null) {
    problems.add(name('source'), `must be an object whose type is ${TYPES}, or one with a load function (KeySource)`)
    return undefined
  }
  if ('load' in option) return checkCustom(option, name, problems)
  if (!Object.hasOwn(MEMBERS, option.type)) {
    problems.add(name('source.type'), `must be ${TYPES}, or the object needs a load function (KeySource)`)
    return undefined
  }
  for (const member of Object.keys(option)) {
    if (member !== 'type' && !MEMBERS[option.type].includes(member)) {
      problems.add(name(`source.${member}`), `is not an option of the source '${option.type}'`)
    }
  }
  switch (option.type) {
    case 'memory': return fits(1, settings, name, problems) ? makeMemory(settings) : undefined
    case 'static': return makeStatic(option.keys, name, problems)
    case 'secret': return makeSecret(option, settings, name, problems)
    case 'shared': return makeShared(option.handle, name, problems)
    case 'file':
    case 'directory': return makeFiles(option, settings, name, problems)
  }
}

function checkCustom (source: KeySource, name: NameOf, problems: OptionErrors): KeySource | undefined {
  const { type, load, pollInterval } = source as Partial<Record<keyof KeySource, unknown>>
  const right = typeof type === 'string' && typeof load === 'function'
  if (!right) problems.add(name('source'), 'must have a type (a string) and a load function')
  if (pollInterval === undefined || (typeof pollInterval === 'number' && pollInterval > 0)) return right ? source : undefined
  problems.add(name('source.pollInterval'), 'must be milliseconds, more than 0')
  return undefined
}

/** Returns whether a ring can hold the keys. @param timetables number of timetables: one for each secret */
function fits (timetables: number, { rotationInterval, ticketLifetime }: SourceSettings, name: NameOf, problems: OptionErrors): boolean {
  if (Number.isNaN(rotationInterval) || Number.isNaN(ticketLifetime)) return false
  if (keysHeld(rotationInterval, ticketLifetime) * timetables <= MAX_KEYS) return true
  problems.add(name('rotationInterval'), `is too short for ${name('ticketLifetime')}: more than ${MAX_KEYS} keys would have to be held`)
  return false
}

function makeMemory ({ rotationInterval, ticketLifetime }: SourceSettings): KeySource {
  const source = new MemorySource(rotationInterval, ticketLifetime)
  return cluster.isWorker ? new ClusterSource(source, ticketLifetime) : source
}

function makeStatic (keys: unknown, name: NameOf, problems: OptionErrors): KeySource | undefined {
  const where = name('source.keys')
  if (!Array.isArray(keys) || keys.length === 0 || keys.length > MAX_KEYS) {
    problems.add(where, `must be an array of 1 to ${MAX_KEYS} keys`)
    return undefined
  }
  const right: StaticKey[] = []
  const places: string[] = []
  // Array.from turns holes into `undefined`, so that they are checked too. forEach of the array itself would skip them.
  Array.from(keys as unknown[]).forEach((key, index) => {
    const place = `${where}[${index}]`
    const problem = staticKeyProblem(key)
    if (problem !== undefined) return problems.add(place, problem)
    right.push(key as StaticKey)
    places.push(place)
  })
  const weak = weakKeys(right.map(partsOf), (index) => places[index] as string)
  for (const { index, problem } of weak) problems.addWeakKey(places[index] as string, problem)
  return right.length < keys.length || weak.length > 0 ? undefined : new StaticSource(right)
}

function staticKeyProblem (key: unknown): string | undefined {
  if (Buffer.isBuffer(key)) {
    return key.length === 80 || key.length === 48 ? undefined : 'must have 80 bytes (nginx80 layout) or 48 (Node.js layout)'
  }
  if (typeof key !== 'object' || key === null) return 'must be a Buffer, or an object with name, aesKey and hmacKey'
  const problem = shapeProblem({ ...key, ...(timesOf(key as StaticKey) ?? ISSUES) })
  if (problem !== undefined) return problem
  const { aesKey, hmacKey } = key as Partial<KeyMaterial>
  return aesKey !== undefined && hmacKey !== undefined && isKeyLength(aesKey, hmacKey)
    ? undefined
    : 'must have an aesKey and an hmacKey of 32 bytes each, or 16 each'
}

function makeSecret (
  { secret, previousSecrets = [] }: { secret: unknown, previousSecrets?: unknown },
  settings: SourceSettings, name: NameOf, problems: OptionErrors
): KeySource | undefined {
  if (!Array.isArray(previousSecrets)) {
    problems.add(name('source.previousSecrets'), 'must be an array')
    return undefined
  }
  const secrets: unknown[] = [secret, ...previousSecrets as unknown[]]
  const copies = secrets.map((value) => typeof value === 'string' || Buffer.isBuffer(value) ? Buffer.from(value) : undefined)
  let right = true
  copies.forEach((copy, index) => {
    const problem = secretProblem(copy, copies.slice(0, index))
    if (problem === undefined) return
    right = false
    problems.add(name(index === 0 ? 'source.secret' : `source.previousSecrets[${index - 1}]`), problem)
  })
  for (const copy of copies) copy?.fill(0)
  if (!fits(secrets.length, settings, name, problems) || !right) return undefined
  return new SecretSource(secrets as Array<string | Buffer>, settings)
}

function makeShared (handle: unknown, name: NameOf, problems: OptionErrors): KeySource | undefined {
  if (Number.isInteger(handle)) return new ThreadSource(handle as number)
  problems.add(name('source.handle'), 'must be the handle of a manager in this process')
  return undefined
}

function makeFiles (
  { type, path, format }: { type: 'file' | 'directory', path: unknown, format?: unknown },
  { strictPermissions }: SourceSettings, name: NameOf, problems: OptionErrors
): KeySource | undefined {
  const known = format === undefined || (KEY_FORMATS as readonly unknown[]).includes(format)
  if (!known) problems.add(name('source.format'), `must be one of ${KEY_FORMATS.join(', ')}`)
  if (typeof path !== 'string' || path === '') problems.add(name('source.path'), 'must be a path')
  else if (known) return new (type === 'file' ? FileSource : DirectorySource)(path, format as KeyFormat | undefined, strictPermissions)
  return undefined
}
