import { envSchema, type EnvSchemaOpt } from 'env-schema'
import { durationProblem, type DurationLimits } from '../util/duration.js'
import type { OptionErrors } from '../util/option-errors.js'
import type { JsonSchema, OptionSchema } from './schema.js'

type Schemas = Readonly<Record<string, OptionSchema>>

/** An error of env-schema's Ajv. It does not contain the value, because Ajv's option `verbose` is off. */
interface AjvError {
  instancePath: string
  keyword: string
  message: string
  params: { additionalProperty?: string }
}

interface CompiledSchema extends JsonSchema {
  properties?: Record<string, CompiledSchema>
  additionalProperties?: false
}

type CustomizeAjv = Extract<EnvSchemaOpt['ajv'], { customOptions: unknown }>['customOptions']

/**
 * Checks values against their schemas. Adds one problem for each wrong value and each unknown name. Changes no value.
 *
 * @param variables names of the options that come from a variable
 * @returns the names of the schemas that have a problem
 */
export function checkValues (
  values: object, schemas: Schemas, variables: ReadonlyMap<string, string>, problems: OptionErrors
): Set<string> {
  const wrong = new Set<string>()
  try {
    // env-schema changes the schema, and may change the data: both are copies.
    const schema = { type: 'object', properties: compileAll(schemas) }
    envSchema({ schema, data: { ...values }, env: false, ajv: { customOptions: customizeAjv } })
  } catch (error) {
    const { errors } = error as { errors: AjvError[] }
    const named = new Map(errors.map((ajvError) => [nameOf(ajvError), ajvError]))
    for (const [name, ajvError] of named) {
      problems.add(variables.get(name) ?? name, problemOf(ajvError, schemas, variables.has(name)))
      wrong.add(name.split('.')[0] as string)
    }
  }
  return wrong
}

/** By default env-schema turns strings into numbers and drops unknown names. Both would hide mistakes in code. */
const customizeAjv: CustomizeAjv = (ajv) => {
  Object.assign(ajv.opts, { coerceTypes: false, removeAdditional: false, useDefaults: false })
  return ajv.addKeyword({ keyword: 'duration', validate: validateDuration })
    .addKeyword({ keyword: 'method', validate: hasMethod })
    .addKeyword({ keyword: 'functionOrNull', validate: (_: true, value: unknown) => value === null || typeof value === 'function' })
}

function validateDuration (limits: DurationLimits, value: unknown): boolean {
  const message = durationProblem(value, limits)
  validateDuration.errors = message === undefined ? [] : [{ keyword: 'duration', message, params: {} }]
  return message === undefined
}
/** Ajv takes the message of an error from here. */
validateDuration.errors = [] as Array<{ keyword: string, message: string, params: object }>

function hasMethod (name: string, value: unknown): boolean {
  return typeof (value as Record<string, unknown> | null)?.[name] === 'function'
}

function compileAll (schemas: Schemas): Record<string, CompiledSchema> {
  return Object.fromEntries(Object.entries(schemas).map(([name, { schema, properties }]) => {
    const copy = structuredClone(schema)
    return [name, properties === undefined ? copy : { ...copy, properties: compileAll(properties), additionalProperties: false as const }]
  }))
}

/** The option, or a part of it such as `metrics.path`. */
function nameOf ({ instancePath, params: { additionalProperty } }: AjvError): string {
  const path = instancePath.split('/').slice(1)
  return (additionalProperty === undefined ? path : [...path, additionalProperty]).join('.')
}

function problemOf ({ instancePath, keyword, message }: AjvError, schemas: Schemas, fromVariable: boolean): string {
  if (keyword === 'additionalProperties') return 'is not an option'
  if (keyword === 'duration') return message
  const [option = '', ...parts] = instancePath.split('/').slice(1)
  const { form, variableForm } = parts.reduce((outer, part) => outer.properties?.[part] as OptionSchema, schemas[option] as OptionSchema)
  return `must be ${fromVariable ? variableForm ?? form : form}`
}
