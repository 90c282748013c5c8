import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { RuntimeError } from '../util/errors.js'
import { pathExists } from '../util/path-exists.js'
import { notBuiltError, type LoadFailure } from './load-error.js'
import type { Addon } from './types.js'

/**
 * The properties of a runtime that select the addon's binary. A parameter, so that tests can simulate another runtime.
 */
export interface Runtime {
  versions: Record<string, string | undefined>
  features: object
  platform: string
  arch: string
}

function unsupportedRuntime ({ versions, features }: Runtime): string | undefined {
  for (const [name, label] of [['bun', 'Bun'], ['deno', 'Deno'], ['electron', 'Electron']] as const) {
    if (versions[name] !== undefined) return `${label} does not have OpenSSL 3; this package needs Node.js 20.19 or later`
  }
  const openssl = versions['openssl'] ?? 'none'
  if (Reflect.get(features, 'openssl_is_boringssl') === true || !openssl.startsWith('3.')) {
    return `needs OpenSSL 3, this Node.js has ${openssl}`
  }
  return undefined
}

/**
 * The package's folder, with a trailing separator. `null` in a CommonJS bundle, where `import.meta.url` is undefined.
 */
export function packageRoot (url: string | undefined): string | null {
  return url === undefined ? null : fileURLToPath(new URL('../..', url))
}

const ROOT = packageRoot(import.meta.url)

/**
 * The possible paths of the addon: a local build first, then the output of scripts/prebuild.sh. Empty if the package's
 * folder is unknown. The Linux binaries run with glibc and with musl.
 */
export function addonPaths ({ platform, arch }: Runtime, root = ROOT): string[] {
  if (root === null) return []
  // A clone has binding.gyp at its top and builds there. The published package builds in native/.
  const build = pathExists(`${root}binding.gyp`) ? 'build' : 'native/build'
  return [
    `${root}${build}/Release/fastify_ticket_keys.node`,
    `${root}prebuilds/${platform}-${arch}/fastify_ticket_keys.node`
  ]
}

/**
 * Loads the addon. Throws FST_TICKET_KEYS_RUNTIME on a runtime without OpenSSL 3, and FST_TICKET_KEYS_NOT_BUILT if no
 * binary loads. The parameters are for tests.
 */
export function loadAddon (runtime: Runtime, paths: string[] = addonPaths(runtime), root = ROOT): Addon {
  assertSupportedRuntime(runtime)
  let failure: LoadFailure | undefined
  for (const path of paths.filter((candidate) => pathExists(candidate))) {
    try {
      return createRequire(path)(path) as Addon
    } catch (cause) {
      failure ??= { path, cause: cause as Error }
    }
  }
  throw notBuiltError({ ...runtime, root, paths, failure })
}

/**
 * Throws FST_TICKET_KEYS_RUNTIME if the addon must not be loaded. It would crash on BoringSSL, whose structures differ.
 */
export function assertSupportedRuntime (runtime = thisRuntime()): void {
  const problem = unsupportedRuntime(runtime)
  if (problem !== undefined) throw new RuntimeError(problem)
}

function thisRuntime (): Runtime {
  const { versions, features, platform, arch } = process
  return { versions, features, platform, arch }
}

let loaded: Addon | undefined
let unmanaged = false

/**
 * The addon of this process. Loaded on the first call, so that importing the package never throws.
 * Throws like `loadAddon`.
 */
export function addon (): Addon {
  loaded ??= loadAddon(thisRuntime())
  return loaded
}

/** Why the addon does not load; `null` if it loads. If it does not load, `isUnmanaged` returns true from then on. */
export function addonProblem (): Error | null {
  try {
    addon()
    return null
  } catch (error) {
    unmanaged = true
    return error as Error
  }
}

/** Whether the option `optional` has left this process's tickets to Node.js. */
export function isUnmanaged (): boolean {
  return unmanaged
}
