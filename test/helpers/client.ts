/** Exports all TLS clients for tests, and their utilities. */
export * from './connect.js'
export * from './external-psk.js'
export * from './hang-up.js'
export * from './pools.js'
export * from './relay.js'
export * from './session.js'
