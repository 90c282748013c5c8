import { createHash } from 'node:crypto'
import { createSecureContext, type SecureContext } from 'node:tls'
import { addon } from '../native/binding.js'
import type { CapturedContext, Host } from '../native/types.js'
import { captureContext, type TlsServerInternals } from './server-internals.js'

/** Length of the digest in bytes, as in native/tls/client_policies.h. */
const LENGTH = 16

/** A context and its client-certificate policy. */
export interface ClientPolicy {
  context: CapturedContext
  /** 16 bytes; equal for equal configurations, on every host and in every Node.js version */
  digest: Buffer
}

/**
 * The client-certificate policies of some contexts of a server: what each context trusts (`ca`, `crl`, the CAs in a
 * `pfx`). The server's own certificates and keys are not part of the policy, and neither are Node.js's built-in CAs.
 * The addon checks for each connection whether a certificate is requested and required. Returns `null` if a context
 * cannot be captured.
 */
export function clientPolicies (server: TlsServerInternals, contexts: unknown[]): ClientPolicy[] | null {
  const callback = hasSniCallback(server)
  const roots = new BuiltInRoots()
  const policies: ClientPolicy[] = []
  for (const native of contexts) {
    const context = captureContext(native)
    const trust = context === null ? null : trustOf(native as object, context, roots)
    if (context === null || trust === null) return null
    const digest = createHash('sha256').update(JSON.stringify(['fastify-ticket-keys client policy 2', callback, trust])).digest()
    policies.push({ context, digest: digest.subarray(0, LENGTH) })
  }
  return policies
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

function trustOf (native: object, context: CapturedContext, roots: BuiltInRoots): string | null {
  const found = known.get(native)
  if (found !== undefined) return found
  const digest = addon().trustDigest(context, roots.context)
  if (digest === null) return null
  const trust = digest.toString('base64')
  known.set(native, trust)
  return trust
}

/**
 * A context with Node.js's own CAs. It is created each time, because `tls.setDefaultCACertificates` may change them.
 */
class BuiltInRoots {
  #secureContext: SecureContext | undefined

  get context (): CapturedContext {
    this.#secureContext ??= createSecureContext()
    // Not null: the server's contexts were captured in the same way.
    return captureContext(this.#secureContext.context) as CapturedContext
  }
}
