import { createHash, type Hash } from 'node:crypto'
import type { TlsServerInternals } from './tls-server.js'

/** Bytes of the digest, as native/handshake.h has them. */
const LENGTH = 16

/** The members of a TLS server that decide about client certificates, beside its contexts. */
interface CertificateOptions {
  requestCert?: boolean
  rejectUnauthorized?: boolean
  ca?: unknown
  crl?: unknown
}

/**
 * A digest of what decides about a client certificate: whether one is asked for and demanded, the CAs and the revocation lists. Two
 * servers with equal configuration have equal digests, whatever their Node.js version: where `ca` is not set, the root store, which
 * differs between versions, is left out.
 */
export function clientPolicy (server: TlsServerInternals): Buffer {
  const { requestCert, rejectUnauthorized, ca, crl } = server as CertificateOptions
  const hash = createHash('sha256').update('fastify-ticket-keys client policy 1')
  hash.update(requestCert === true ? 'request' : 'ignore').update(rejectUnauthorized === false ? 'accept' : 'reject')
  add(hash, 'ca', ca)
  add(hash, 'crl', crl)
  return hash.digest().subarray(0, LENGTH)
}

/** PEM texts one by one, as Node.js takes them: a string, a Buffer, an array of either. */
function add (hash: Hash, label: string, value: unknown): void {
  const items = value === undefined || value === null ? [] : [value].flat(2)
  hash.update(`${label} ${items.length} `)
  for (const item of items) {
    const text = typeof item === 'string' || item instanceof Uint8Array ? item : JSON.stringify(item)
    hash.update(createHash('sha256').update(text).digest())
  }
}
