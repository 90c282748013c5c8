/**
 * The three functions of the Reflect Metadata proposal that tsyringe, a dependency of @peculiar/x509, wants to find
 * when it is loaded. Import this file before @peculiar/x509.
 */
const metadata = new WeakMap<object, Map<unknown, unknown>>()

function getOwnMetadata (key: unknown, target: object): unknown {
  return metadata.get(target)?.get(key)
}

function getMetadata (key: unknown, target: object): unknown {
  for (let object: object | null = target; object !== null; object = Reflect.getPrototypeOf(object)) {
    const values = metadata.get(object)
    if (values?.has(key)) return values.get(key)
  }
  return undefined
}

function defineMetadata (key: unknown, value: unknown, target: object): void {
  const values = metadata.get(target) ?? new Map<unknown, unknown>()
  metadata.set(target, values.set(key, value))
}

if (!('getMetadata' in Reflect)) Object.assign(Reflect, { getOwnMetadata, getMetadata, defineMetadata })
