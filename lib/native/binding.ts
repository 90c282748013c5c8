import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { NotBuiltError, RuntimeError } from '../util/errors.js'
import { isMusl } from './libc.js'
import type { Addon } from './types.js'

/** What is asked about the runtime before the addon is loaded; a parameter so that tests can play another runtime. */
export interface Runtime {
  versions: Record<string, string | undefined>
  features: object
  platform: string
  arch: string
  /** true on musl, where the C library is another */
  musl: boolean
}

/** Why the addon must not be loaded here; undefined if it may. It would crash on BoringSSL, whose structures differ. */
export function unsupportedRuntime ({ versions, features }: Runtime): string | undefined {
  for (const [name, label] of [['bun', 'Bun'], ['deno', 'Deno'], ['electron', 'Electron']] as const) {
    if (versions[name] !== undefined) return `${label} does not have OpenSSL 3; this package needs Node.js 20.19 or later`
  }
  const openssl = versions['openssl'] ?? 'none'
  if (Reflect.get(features, 'openssl_is_boringssl') === true || !openssl.startsWith('3.')) {
    return `needs OpenSSL 3, this Node.js has ${openssl}`
  }
  return undefined
}

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** Where the addon may lie, the package's own build first, then what scripts/prebuild.sh made. */
export function addonPaths ({ platform, arch, musl }: Runtime): string[] {
  return [
    `${ROOT}build/Release/fastify_ticket_keys.node`,
    `${ROOT}prebuilds/${platform}-${arch}${musl ? '-musl' : ''}/fastify_ticket_keys.node`
  ]
}

/**
 * Loads the addon. Throws FST_TICKET_KEYS_RUNTIME on a runtime without OpenSSL 3, FST_TICKET_KEYS_NOT_BUILT
 * without a binary that fits.
 */
export function loadAddon (runtime: Runtime, paths: string[] = addonPaths(runtime)): Addon {
  const unsupported = unsupportedRuntime(runtime)
  if (unsupported !== undefined) throw new RuntimeError(unsupported)
  const path = paths.find((candidate) => existsSync(candidate))
  // npm brings node-gyp along for what it runs; a user's project need not have it.
  const build = `build it, with a C++17 compiler, Python 3 and make, by: npm --prefix "${ROOT}" run build:native`
  if (path === undefined) throw new NotBuiltError(`no binary of the addon at ${paths.join(' or ')}; ${build}`)
  try {
    return createRequire(import.meta.url)(path) as Addon
  } catch (cause) {
    const error = new NotBuiltError(`the addon at ${path} does not load: ${(cause as Error).message}; ${build}`)
    error.cause = cause
    throw error
  }
}

let loaded: Addon | undefined

/** The addon of this process, loaded when first asked for, so that importing the package never throws. */
export function addon (): Addon {
  loaded ??= loadAddon({
    versions: process.versions,
    features: process.features,
    platform: process.platform,
    arch: process.arch,
    musl: isMusl()
  })
  return loaded
}
