import { createHash } from 'node:crypto'
import tls from 'node:tls'
import { addon } from '../native/binding.js'
import type { CapturedContext, Host } from '../native/types.js'
import { captureContext, type TlsServerInternals } from './server-internals.js'

/** Length of the digest in bytes, as in native/tls/client_policies.h. */
const LENGTH = 16

/** The default of `ecdhCurve` in every supported Node.js version. */
const NODE_ECDH_CURVE = 'auto'

/** Where the CAs of a context come from: the option `ca`, Node.js's default, or unknown for a context of `addContext`. */
export type CaOrigin = 'option' | 'default' | 'unknown'

/** A context and its client-certificate policy. */
export interface ClientPolicy {
  context: CapturedContext
  /** 16 bytes; equal for equal configurations, on every host and in every Node.js version */
  digest: Buffer
}

/**
 * The client-certificate policies of some contexts of a server: what each context trusts (`ca`, `crl`, the CAs in a
 * `pfx`), and the server's `sigalgs` and `ecdhCurve`. The server's own certificates and keys are not part of the policy,
 * and neither are the CAs that come with Node.js. The addon checks for each connection whether a certificate is requested
 * and required. Returns `null` if a context cannot be captured.
 */
export function clientPolicies (server: TlsServerInternals, contexts: unknown[], cas: CaOrigin = 'unknown'): ClientPolicy[] | null {
  const [callback, algorithms] = [hasSniCallback(server), algorithmsOf(server)]
  const policies: ClientPolicy[] = []
  const stores = new Map<bigint, string>()
  for (const native of contexts) {
    const context = captureContext(native)
    const trust = context === null ? null : trustOf(native as object, context, cas, stores)
    if (context === null || trust === null) return null
    const record = JSON.stringify(['fastify-ticket-keys client policy 2', callback, trust, ...algorithms])
    policies.push({ context, digest: createHash('sha256').update(record).digest().subarray(0, LENGTH) })
  }
  return policies
}

/**
 * The algorithms that a client certificate must use, if the server's owner has limited them. OpenSSL cannot report them
 * for a context. Node.js does not apply those of another context of the server when it picks that context by name.
 */
function algorithmsOf ({ sigalgs, ecdhCurve = tls.DEFAULT_ECDH_CURVE }: TlsServerInternals): string[] {
  const curves = ecdhCurve === NODE_ECDH_CURVE ? [] : [`ecdhCurve ${ecdhCurve}`]
  return sigalgs === undefined ? curves : [`sigalgs ${sigalgs}`, ...curves]
}

/** Whether the server was created with an `SNICallback`; `true` if this cannot be determined. */
export function hasSniCallback (server: TlsServerInternals): boolean {
  const symbol = Object.getOwnPropertySymbols(server).find(({ description }) => description === 'snicallback')
  return symbol === undefined || typeof Reflect.get(server, symbol) === 'function'
}

/** A host of `addContext` for the addon; `null` if its pattern is neither a host name nor a pattern with `*`. */
export function toHost (matcher: RegExp, { context, digest }: ClientPolicy): Host | null {
  const pattern = hostPattern(matcher)
  return pattern === null ? null : { pattern, context, policy: digest }
}

/**
 * Recovers the name or pattern from which Node.js's `addContext` made a regular expression. The addon compares it with
 * names in lower case. Returns `null` for all other expressions. Node.js 20 compares names case-sensitively; later
 * versions do not.
 */
function hostPattern ({ source, flags }: RegExp): string | null {
  const pattern = source.slice(1, -1).replaceAll('[^.]*', '*').replaceAll(/\\([.-])/g, '$1')
  const isOurs = /^[\w.*-]+$/.test(pattern) &&
    source === `^${pattern.replaceAll(/[.-]/g, '\\$&').replaceAll('*', '[^.]*')}$`
  if (!isOurs || (flags !== '' && flags !== 'i')) return null
  return flags === 'i' ? pattern.toLowerCase() : pattern
}

/** Trust digests by native context. A context does not change after its creation. */
const known = new WeakMap<object, string>()

/** @param stores the digests found in this call, by CA store: contexts without a `ca` share one store */
function trustOf (native: object, context: CapturedContext, cas: CaOrigin, stores: Map<bigint, string>): string | null {
  const store = addon().storeOf(context)
  const found = known.get(native) ?? stores.get(store)
  if (found !== undefined) return found
  const digest = addon().trustDigest(context, bundledRoots(), isUnlisted(context, cas))
  if (digest === null) return null
  const trust = digest.toString('base64')
  known.set(native, trust)
  stores.set(store, trust)
  return trust
}

/** Whether the context may have OpenSSL's own CA store, which cannot be listed. */
function isUnlisted (context: CapturedContext, cas: CaOrigin): boolean {
  if (cas === 'option') return false
  return usesOpenSslStore() || (cas === 'default' && !addon().hasBundledRoots(context, bundledRoots()))
}

let bundled: Buffer | undefined

/** The digests of the CA certificates that come with this Node.js, 32 bytes each. */
function bundledRoots (): Buffer {
  bundled ??= Buffer.concat(tls.rootCertificates.map((pem) =>
    createHash('sha256').update(Buffer.from(pem.replaceAll(/-----[A-Z ]+-----/g, ''), 'base64')).digest()))
  return bundled
}

/** Whether Node.js takes its default CAs from OpenSSL's own store, by a command-line option or by its build. */
function usesOpenSslStore (): boolean {
  const options = [...process.execArgv, ...String(process.env.NODE_OPTIONS).split(/\s+/)]
    .map((option) => option.replaceAll(/["']/g, '').replaceAll('_', '-'))
  if (options.includes('--use-bundled-ca')) return false
  return options.includes('--use-openssl-ca') || process.config.target_defaults.defines.includes('NODE_OPENSSL_CERT_STORE')
}
