import { randomBytes } from 'node:crypto'
import { decodeBase64 } from '../keys/base64.js'
import { allocateSecret } from '../native/secret-memory.js'
import type { SourceOption } from '../sources/make-source.js'
import { readSecretFile, secretFileProblem } from '../sources/read-key-files.js'
import { TwoSourcesError } from '../util/errors.js'
import type { OptionErrors } from '../util/option-errors.js'
import { checkValues } from './check-values.js'
import type { Secrets } from './kept-secrets.js'
import { fileVariable, fromText, SOURCE_VARIABLES, type SourceVariable } from './schema.js'

/** A variable that is set. */
interface SetVariable extends SourceVariable {
  /** with the prefix, and with _FILE if the variable names a file */
  name: string
  /** the value; a secret's is in `bytes` */
  text: string
  /** the value of a secret; `null` if the value was lost */
  bytes: Buffer | null
  /** whether the text is the path of the file with the value */
  isFile: boolean
}

/** What the variables say, by variable with its prefix. */
export interface VariableValues {
  texts: Readonly<Record<string, string>>
  secrets: Secrets
}

/** Builds the source from the variables. */
export class SourceVariables {
  readonly warnings: string[] = []
  readonly #values: VariableValues
  readonly #nameOf: (variable: string) => string
  readonly #names: Map<string, string>

  /**
   * @param nameOf the name of a variable with its prefix
   * @param names receives the variable of each part of the source, such as `source.path`
   */
  constructor (values: VariableValues, nameOf: (variable: string) => string, names: Map<string, string>) {
    this.#values = values
    this.#nameOf = nameOf
    this.#names = names
  }

  /** The type of the source that the variables select; `undefined` if none does. Reads only their names. */
  get type (): string | undefined {
    return Object.entries(SOURCE_VARIABLES).flatMap(([variable, schema]) => this.#find(variable, schema))
      .find(({ namesSource }) => namesSource === true)?.sources[0]
  }

  /**
   * Builds the option `source`; `undefined` if no variable selects a source. Throws FST_TICKET_KEYS_TWO_SOURCES.
   *
   * @param strict refuse secret files that it would warn of otherwise
   */
  read (strict: boolean, problems: OptionErrors): SourceOption | undefined {
    const set = Object.entries(SOURCE_VARIABLES).flatMap(([variable, schema]) => this.#find(variable, schema))
    const naming = set.filter(({ namesSource }) => namesSource === true)
    if (naming.length > 1) throw new TwoSourcesError(`${naming.map(({ name }) => name).join(' and ')} each name a source; set one`)
    const type = naming[0]?.sources[0]
    const parts: Record<string, unknown> = {}
    for (const variable of this.#withoutWrong(set, problems)) {
      if (type !== undefined && variable.sources.includes(type)) parts[variable.part] = this.#value(variable, strict, problems)
      else problems.add(variable.name, `needs ${this.#namesOf(variable.sources).join(' or ')}`)
    }
    return type === undefined || Object.values(parts).includes(undefined) ? undefined : { type, ...parts } as SourceOption
  }

  #find (variable: string, schema: SourceVariable): SetVariable[] {
    const names = schema.hasFile === true ? [variable, fileVariable(variable)] : [variable]
    const { texts, secrets } = this.#values
    const set = names.map((name) => [name, this.#nameOf(name)] as const)
      .filter(([, name]) => name in texts || secrets.has(name))
      .map(([short, name]): SetVariable =>
        ({ ...schema, name, isFile: short !== variable, text: texts[name] ?? '', bytes: secrets.get(name) ?? null }))
    if (set.length > 1) throw new TwoSourcesError(`${set.map(({ name }) => name).join(' and ')} are both set; set one`)
    return set
  }

  #withoutWrong (set: SetVariable[], problems: OptionErrors): SetVariable[] {
    // The sources check the secrets.
    const plain = set.filter(({ secret }) => secret !== true)
    const values = Object.fromEntries(plain.map((variable) => [variable.name, fromText(variable.text, variable)]))
    const wrong = checkValues(values, Object.fromEntries(plain.map((variable) => [variable.name, variable])), new Map(), problems)
    return set.filter(({ name }) => !wrong.has(name))
  }

  /** The variables that name one of these sources. */
  #namesOf (sources: readonly string[]): string[] {
    return Object.entries(SOURCE_VARIABLES)
      .filter(([, { namesSource, sources: [source = ''] }]) => namesSource === true && sources.includes(source))
      .flatMap(([variable, { hasFile }]) => hasFile === true ? [variable, fileVariable(variable)] : [variable])
      .map(this.#nameOf)
  }

  #value (variable: SetVariable, strict: boolean, problems: OptionErrors): unknown {
    const { part, name, text, secret } = variable
    const isList = part === 'previousSecrets'
    this.#names.set(`source.${part}${isList ? '[0]' : ''}`, variable.isFile ? `${name} names a file whose content` : name)
    if (secret !== true) return fromText(text, variable)
    const value = variable.isFile ? this.#readFile(variable, strict, problems) : variable.bytes
    if (value === null) {
      problems.add(name, 'was read and deleted before, and there was no locked memory to keep its value in: set it again')
      return undefined
    }
    if (part === 'keys') return this.#keys(variable, value, problems)
    return isList ? [value] : value
  }

  #readFile ({ name, text }: SetVariable, strict: boolean, problems: OptionErrors): Buffer {
    try {
      const { secret, warnings } = readSecretFile(text, strict)
      this.warnings.push(...warnings.map((warning) => `${name} names a file that ${warning}`))
      return secret
    } catch (error) {
      problems.add(name, secretFileProblem(text, error))
      // A placeholder for the secret, so that the source does not report a second problem.
      return randomBytes(64)
    }
  }

  /** Decodes the keys. Adds a problem and returns `undefined` if a key is wrong. */
  #keys ({ name, form }: SetVariable, text: Buffer, problems: OptionErrors): Buffer[] | undefined {
    const parts = split(text, COMMA)
    const keys = parts.flatMap((part, index) => {
      // `openssl rand -base64 80` prints two lines.
      const base64 = part.filter((byte) => !isSpace(byte))
      const bytes = decodeBase64(base64, allocateSecret)
      base64.fill(0)
      if (bytes?.length === 80) return bytes
      problems.add(name, `must be ${form} (key ${index + 1} is not)`)
      return []
    })
    return keys.length === parts.length ? keys : undefined
  }
}

const COMMA = 0x2c

/** The parts between the separators, without copying. */
function split (bytes: Buffer, separator: number): Buffer[] {
  const parts: Buffer[] = []
  let start = 0
  for (let end; (end = bytes.indexOf(separator, start)) !== -1; start = end + 1) parts.push(bytes.subarray(start, end))
  return [...parts, bytes.subarray(start)]
}

/** Space, tab or line end. */
function isSpace (byte: number): boolean {
  return byte === 0x20 || (byte >= 0x09 && byte <= 0x0d)
}
