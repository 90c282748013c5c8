import { allocateSecret } from '../native/secret-memory.js'

/** The secret variables of one prefix that were read and then deleted. */
interface Kept {
  /** values by variable, in locked memory; `null` if the addon, and so locked memory, was missing */
  values: Map<string, Buffer | null>
  /** the variables that selected a source at the last read */
  selectedBy: Set<string>
}

type Store = WeakMap<object, Map<string, Kept>>

/** Property of `process`. Every copy of this package in this thread finds it: ESM, CommonJS, another node_modules. */
const STORE = Symbol.for('fastify-ticket-keys.kept-secrets.1')

/** Values of the secret variables of a prefix, by variable; `null` if a value was lost. */
export type Secrets = ReadonlyMap<string, Buffer | null>

/** The secret variables to read. Names include the prefix. */
export interface SecretVariables {
  /** the environment, and the prefix within it */
  data: NodeJS.ProcessEnv
  prefix: string
  /** names of the secret variables */
  names: string[]
  /** values of the variables, including values from a .env file */
  texts: Readonly<Record<string, string>>
  /** the variables that select a source now */
  selecting: string[]
}

/** Reads the secret variables. Variables that an earlier call of `takeSecrets` deleted keep their values. */
export function readSecrets ({ data, prefix, names, texts }: Omit<SecretVariables, 'selecting'>): Secrets {
  const kept = keptIn(data, prefix).values
  const secrets = new Map<string, Buffer | null>()
  for (const name of names) {
    const text = texts[name]
    // An earlier value from the environment overrides the .env file, as a variable in the environment does.
    const value = data[name] === undefined ? kept.get(name) : undefined
    if (value !== undefined) secrets.set(name, value)
    else if (text !== undefined) secrets.set(name, lockedCopy(text) ?? Buffer.from(text))
  }
  return secrets
}

/**
 * Reads the secret variables, deletes them, and keeps their values for the life of the process. A later manager of the
 * process then has the same source as the first manager. A new value of a variable replaces the kept value. An empty
 * value deletes it. If the variables later select another source, all kept values are deleted.
 */
export function takeSecrets (variables: SecretVariables): Secrets {
  const { data, prefix, names, texts, selecting } = variables
  const kept = keptIn(data, prefix)
  if (selecting.some((name) => !kept.selectedBy.has(name))) kept.values.clear()
  if (selecting.length > 0) kept.selectedBy = new Set(selecting)
  const secrets = readSecrets(variables)
  for (const name of names.filter((variable) => data[variable] !== undefined)) {
    const text = data[name] === '' ? undefined : texts[name]
    if (text === undefined) kept.values.delete(name)
    else kept.values.set(name, lockedCopy(text) ?? null)
    Reflect.deleteProperty(data, name)
  }
  return secrets
}

function keptIn (data: NodeJS.ProcessEnv, prefix: string): Kept {
  const holder = process as { [STORE]?: Store }
  const store = holder[STORE] ??= new WeakMap()
  // Some test runners replace process.env with a copy.
  const owner = data === process.env ? process : data
  const prefixes = store.get(owner) ?? new Map<string, Kept>()
  store.set(owner, prefixes)
  const kept = prefixes.get(prefix) ?? { values: new Map(), selectedBy: new Set() }
  prefixes.set(prefix, kept)
  return kept
}

/** Returns a copy in locked memory; `undefined` without the addon. The source reports why the addon does not load. */
function lockedCopy (text: string): Buffer | undefined {
  try {
    const memory = allocateSecret(Buffer.byteLength(text))
    memory.write(text)
    return memory
  } catch {
    return undefined
  }
}
