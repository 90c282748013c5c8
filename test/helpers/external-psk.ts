import type { TlsOptions } from 'node:tls'
import { connect } from './connect.js'
import type { ConnectOptions, Exchange, Protocol } from './connect.js'

const IDENTITY = 'external psk'
const KEY = Buffer.alloc(32, 'external psk key')
/** In TLS 1.3, an external PSK works only with a SHA-256 cipher. TLS 1.2 has separate PSK cipher suites. */
const CIPHERS: Record<Protocol, string> = {
  'TLSv1.2': 'PSK-AES128-GCM-SHA256',
  'TLSv1.3': 'TLS_AES_128_GCM_SHA256'
}

/** Server options that accept {@link externalPsk} as well as certificates. */
export function pskServerOptions (): TlsOptions {
  return {
    ciphers: `TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:ECDHE-ECDSA-AES128-GCM-SHA256:${CIPHERS['TLSv1.2']}`,
    pskCallback: (_socket, identity) => identity === IDENTITY ? KEY : null
  }
}

/** Makes one connection that is authenticated by an external PSK, which is not from a ticket. */
export async function externalPsk (options: ConnectOptions & { protocol: Protocol }): Promise<Exchange> {
  return await connect({
    ciphers: CIPHERS[options.protocol],
    ...options,
    tls: {
      pskCallback: () => ({ psk: KEY, identity: IDENTITY }),
      checkServerIdentity: () => undefined,
      ...options.tls
    }
  })
}
