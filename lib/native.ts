import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import type { TLSSocket } from 'node:tls'
import { NotBuiltError, RuntimeError } from './errors.js'
import { isMusl } from './libc.js'
import type { KeyTimes } from './keys/key.js'

/** The order of the addon's counters (native/counters.h). */
export const PROTOCOLS = ['TLSv1.2', 'TLSv1.3'] as const
export const REASONS = [
  'unknown_key', 'expired_key', 'bad_ticket', 'mismatch', 'context', 'session_expired', 'session_too_old',
  'session_revoked', 'server_name', 'client_certificate', 'callback_error'
] as const

export type Protocol = typeof PROTOCOLS[number]
export type RejectReason = typeof REASONS[number]

/** What the addon needs of the options; checked before. Durations in ms. */
export interface NativeOptions {
  ticketLifetime: number
  maxSessionAge: number
  tls12Tickets: boolean
  bindServerName: boolean
  resumeSniCallback: boolean
  ticketsPerHandshake: number
  /** 1 to 32 bytes */
  sessionIdContext: Buffer
}

/** A key for the ring; without bytes, the ring keeps those that it holds under the name. */
export interface RingKey extends KeyTimes {
  /** 16 bytes */
  name: Buffer
  /** 16 or 32 bytes; zeroed by `setRing` */
  aesKey?: Buffer
  /** as long as `aesKey`; zeroed by `setRing` */
  hmacKey?: Buffer
}

/** A key of the ring as it is shown: never its bytes, which `exportKeys` puts into the buffer it is given. */
export interface HeldKey extends KeyTimes {
  name: Buffer
}

/** Makes a server-side socket over a context that is to be found, and returns it. */
export type SocketMaker = () => TLSSocket

/** The native half of a manager: ring, policy and counters, shared by all threads that open its handle. */
export interface NativeManager {
  /** names this manager in other threads of the process, while any thread has it open */
  readonly handle: number
  /** false where the system did not lock the ring's pages against swapping (RLIMIT_MEMLOCK) */
  readonly memoryLocked: boolean
  /** Replaces the ring. `expired` are names whose tickets are refused as expired. Throws, changing nothing, where a key has no bytes. */
  setRing (keys: RingKey[], expired: Buffer[]): void
  keyTimes (): HeldKey[]
  /** As `keyTimes`, with each key's AES half at 64 × its index in `out` and its HMAC half 32 bytes on. */
  exportKeys (out: Buffer): Array<HeldKey & { half: 16 | 32 }>
  /**
   * Takes over a context's tickets; null where it can't be found. `added` make sockets on the contexts given to `addContext` since it was
   * attached before. `trustByName`: the client policy is not the same under every server name.
   */
  attach (makeSocket: SocketMaker, clientPolicy: Buffer, added: SocketMaker[], trustByName: boolean): { noTicket: boolean } | null
  /** Counts a finished handshake, inside its 'secureConnection'. True if it resumed from a ticket: `ticket` then has key id, time of issue, time of authentication. */
  handshakeDone (tls13: boolean, resumed: boolean, ticket: Float64Array): boolean
  readCounters (out: Float64Array): void
  revokeSessions (): void
  setClockOffset (milliseconds: number): void
  /** Calls back, soon, when a ticket could not be issued for want of a key; once until the next `setRing`. */
  onNoCurrentKey (listener: (() => void) | null): void
  /** Erases rings that were replaced while a handshake looked at them; true when none is left. */
  reclaim (): boolean
}

/** What lib/callback.ts answers to the addon: a bare status, or a key and a status. */
export type Decision = number | [name: Buffer, aesKey: Buffer, hmacKey: Buffer, status: number]

/** Exports of the addon. */
export interface Addon {
  Manager: new (options: NativeOptions | number) => NativeManager
  setTicketKeyCallback (
    makeSocket: SocketMaker,
    decide: (issue: boolean, keyName: Buffer | null, tls13: boolean, serverName: string | null) => Decision
  ): boolean
  /** What a context takes client certificates by, 32 bytes; null where it can't be found. `makeRootSocket` is over one without a `ca`. */
  trustDigest (makeSocket: SocketMaker, makeRootSocket: SocketMaker): Buffer | null
  /** Memory that is locked, left out of core dumps and zeroed in forked children; cleansed when collected. */
  allocateSecret (bytes: number): Buffer
  cleanse (buffer: Buffer): void
  /** HKDF-SHA256 (RFC 5869) into `out`; false where OpenSSL refused. */
  hkdf (secret: Buffer, salt: Buffer, info: Buffer, out: Buffer): boolean
  /** upper bounds of the age histogram, seconds */
  ageBounds: number[]
  counterCount: number
}

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

const ROOT = fileURLToPath(new URL('..', import.meta.url))

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
