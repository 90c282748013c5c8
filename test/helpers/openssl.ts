const [major = 0, minor = 0, patch = 0] = process.versions.openssl.split(/[.+]/).map(Number)

/**
 * The alert with which OpenSSL aborts a handshake that offers a session with extended master secret without the
 * extension. RFC 7627 section 5.3 requires the abort, but does not name the alert.
 * Measured: 3.0.15 and 3.0.17 send illegal_parameter, 3.0.19 and 3.5.8 send handshake_failure (RFC 8446 section 6: 47
 * and 40).
 */
export const EXTENDED_MASTER_SECRET_ALERT = major === 3 && minor === 0 && patch <= 17
  ? { code: 47, name: 'illegal parameter' }
  : { code: 40, name: 'handshake failure' }
