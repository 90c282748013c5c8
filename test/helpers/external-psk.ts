import type { TlsOptions } from 'node:tls'
import { connect } from './connect.js'
import type { ConnectOptions, Exchange, Protocol } from './connect.js'

const IDENTITY = 'external psk'
const KEY = Buffer.alloc(32, 'external psk key')
/** TLS 1.3 takes a PSK of this kind only with a SHA-256 cipher; TLS 1.2 has cipher suites for it. */
const CIPHERS: Record<Protocol, string> = {
  'TLSv1.2': 'PSK-AES128-GCM-SHA256',
  'TLSv1.3': 'TLS_AES_128_GCM_SHA256'
}

/** Options with which a server accepts {@link externalPsk} besides certificates. */
export function pskServerOptions (): TlsOptions {
  return {
    ciphers: `TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:ECDHE-ECDSA-AES128-GCM-SHA256:${CIPHERS['TLSv1.2']}`,
    pskCallback: (_socket, identity) => identity === IDENTITY ? KEY : null
  }
}

/** One connection authenticated by a pre-shared key that never was a ticket. */
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
