import { debuglog } from 'node:util'

/**
 * Messages for maintainers of this package. Printed if NODE_DEBUG contains `ticket-keys`. They never
 * contain key material.
 */
export const debug = debuglog('ticket-keys')
