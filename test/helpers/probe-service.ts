import { randomBytes } from 'node:crypto'
import type { TlsOptions } from 'node:tls'
import { serverCert } from './certs.js'

/** The certificate of the probed servers, and its CA. */
export const { key, cert, ca } = await serverCert()

/** Options of servers that accept each other's tickets. */
export const shared: TlsOptions = { ticketKeys: randomBytes(48), sessionIdContext: 'one service' }
