const [major = 0, minor = 0, patch = 0] = process.versions.openssl.split(/[.+]/).map(Number)

/**
 * How OpenSSL ends a handshake that offers a session with extended master secret without it (RFC 7627 section 5.3 says no more than that it must).
 * Measured: 3.0.15 and 3.0.17 give illegal_parameter, 3.0.19 and 3.5.8 handshake_failure (RFC 8446 section 6: 47 and 40).
 */
export const EXTENDED_MASTER_SECRET_ALERT = major === 3 && minor === 0 && patch <= 17
  ? { code: 47, name: 'illegal parameter' }
  : { code: 40, name: 'handshake failure' }
