import { NotBuiltError } from '../util/errors.js'
import { pathExists } from '../util/path-exists.js'

/** A binary that exists but does not load. */
export interface LoadFailure {
  path: string
  cause: Error & { code?: string }
}

/** Where the loader looked, and what it found. */
export interface LoadAttempt {
  platform: string
  arch: string
  /** root of the package, with a trailing separator; null if a bundler hid it */
  root: string | null
  /** every path that the loader looked at */
  paths: string[]
  /** the failure of the first path with a file */
  failure: LoadFailure | undefined
}

/** The addon needs POSIX (mmap, mlock). On other systems, it cannot be built. */
const POSIX = ['aix', 'android', 'darwin', 'freebsd', 'linux', 'openbsd', 'sunos']

const BUNDLER = 'if a bundler packed this code, leave fastify-ticket-keys out of the bundle (external): ' +
  'the binary lies beside the package\'s files. ' +
  'docs/installing.md shows how for esbuild, webpack, rollup and ncc'

/** Makes a FST_TICKET_KEYS_NOT_BUILT error: where the loader looked, why it failed, and what to do. */
export function notBuiltError (attempt: LoadAttempt): Error {
  const { paths, failure } = attempt
  if (failure !== undefined) {
    const { path, cause } = failure
    return new NotBuiltError(`the addon at ${path} does not load: ${cause.message}; ${adviceForFailure(attempt, failure)}`, { cause })
  }
  const looked = paths.length > 0 ? ` at ${paths.join(' or ')}` : ''
  return new NotBuiltError(`no binary of the addon${looked}; ${adviceForMissing(attempt)}`)
}

function adviceForMissing ({ platform, arch, root }: LoadAttempt): string {
  if (root === null || !pathExists(`${root}native/binding.gyp`)) return BUNDLER
  if (POSIX.includes(platform)) return buildAdvice(root)
  return `${platform}-${arch} is not supported: run the server on Linux or macOS, or set the option optional to leave tickets to Node.js`
}

function adviceForFailure ({ root }: LoadAttempt, { cause: { code, message } }: LoadFailure): string {
  if (code === 'ERR_DLOPEN_DISABLED') {
    return 'this process may not load addons: start Node.js with --allow-addons if it uses the permission model, and without --no-addons'
  }
  if (message.includes('failed to map segment')) {
    return 'its file system may be mounted with noexec: mount it with exec, or install the package elsewhere'
  }
  const library = /(\S+\.so\S*): cannot open shared object file|Error loading shared library ([^\s:]+)/.exec(message)
  if (library !== null) return `install the library ${library[1] ?? library[2]} on this system`
  return `it may be damaged or made for another system: install the package again, or ${buildAdvice(root ?? '')}`
}

function buildAdvice (root: string): string {
  return `build it, with a C++17 compiler, Python 3 and make, by: npm --prefix "${root}" run build:native`
}
