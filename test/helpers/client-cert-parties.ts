import { createSecureContext } from 'node:tls'
import type { SecureContext, TlsOptions } from 'node:tls'
import { makeCa, serverCert } from './certs.js'
import type { KeyPair } from './certs.js'
import type { ConnectOptions } from './client.js'
import type { Outcome } from './mutual.js'

/** The server's certificate, and two CAs of client certificates. */
export const [{ key, cert }, caA, caB] = await Promise.all([serverCert(), makeCa('CA A'), makeCa('CA B')])

/** Client certificates: alice and weak (1024 bits) of CA A, bob of CA B. */
export const [alice, bob, weak] = await Promise.all([
  caA.issue({ name: 'alice', client: true }),
  caB.issue({ name: 'bob', client: true }),
  caA.issue({ name: 'weak', client: true, rsaBits: 1024 })
])

/** Server options: refuse clients without a certificate of this CA. */
export const demands = (ca: string): TlsOptions => ({ requestCert: true, rejectUnauthorized: true, ca })

/** A context of the same server that trusts this CA. */
export const trusts = (ca: string): SecureContext => createSecureContext({ key, cert, ca })

/** Client options: this certificate, and a server name. */
export const as = (pair: KeyPair, servername?: string): Partial<ConnectOptions> => ({
  ...pair,
  ...(servername !== undefined && { servername })
})

/** Client options: this server name. */
export const at = (servername: string): Partial<ConnectOptions> => ({ servername })

/** The outcome of a resumption as this client. */
export const resumedAs = (peer: string): Outcome => ({ reused: true, authorized: true, peer })

/** The outcome for a client without a certificate. */
export const nobody = (reused: boolean, authorized = false): Outcome => ({ reused, authorized, peer: null })
