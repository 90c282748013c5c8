import { createHash } from 'node:crypto'
import { createSecureContext, type SecureContext } from 'node:tls'
import { hostPattern, orderHosts, type Host } from './host-patterns.js'
import { addon } from '../native/binding.js'
import { socketMaker, type TlsServerInternals } from './server-internals.js'

/** Bytes of the digest, as native/tls/attached_context.h has them. */
const LENGTH = 16

/** What decides which client certificates are good. */
export interface ClientPolicy {
  /** 16 bytes; equal where the configuration is, on every host and in every Node.js version */
  digest: Buffer
  /** whether it is not the same under every server name */
  byName: boolean
}

/**
 * The policy of a server as it is now: what its own context and those of `addContext` trust (`ca`, `crl`, the CAs in a `pfx`), under
 * which names. Certificates and keys of the server itself are no part of it, nor is the root store where `ca` is not set. Whether a
 * certificate is asked for and demanded is seen by the addon in each connection. Returns `null` where a context can't be found.
 */
export function clientPolicy (server: TlsServerInternals): ClientPolicy | null {
  const own = trustOf(server._sharedCreds?.context)
  if (own === null) return null
  const hosts: Host[] = []
  for (const [matcher, context] of server._contexts) {
    const trust = trustOf(context)
    if (trust === null) return null
    hosts.push({ ...hostPattern(matcher), trust })
  }
  const callback = hasSniCallback(server)
  const ordered = orderHosts(own, hosts)
  const hash = createHash('sha256')
  hash.update(JSON.stringify(['fastify-ticket-keys client policy 1', callback, own, ordered.map(({ name, trust }) => [name, trust])]))
  return { digest: hash.digest().subarray(0, LENGTH), byName: callback || ordered.length > 0 }
}

/** By native context; none changes after it was made. */
const known = new WeakMap<object, string>()

function trustOf (context: unknown): string | null {
  if (typeof context !== 'object' || context === null) return null
  const found = known.get(context)
  if (found !== undefined) return found
  // It shares Node.js's root store. Not kept: tls.setDefaultCACertificates may change what it has.
  const roots = createSecureContext()
  const digest = addon().trustDigest(socketMaker({ context } as SecureContext), socketMaker(roots))
  if (digest === null) return null
  const trust = digest.toString('base64')
  known.set(context, trust)
  return trust
}

/** Whether the server was made with an `SNICallback`; `true` where that can't be seen. */
function hasSniCallback (server: TlsServerInternals): boolean {
  const symbol = Object.getOwnPropertySymbols(server).find(({ description }) => description === 'snicallback')
  return symbol === undefined || typeof Reflect.get(server, symbol) === 'function'
}
