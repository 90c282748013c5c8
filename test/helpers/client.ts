/** All TLS clients for tests, and what they work with. */
export * from './connect.js'
export * from './external-psk.js'
export * from './hang-up.js'
export * from './pools.js'
export * from './relay.js'
export * from './session.js'
