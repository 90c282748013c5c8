import { debuglog } from 'node:util'

/** Messages for maintainers of this package, printed where the variable NODE_DEBUG has `ticket-keys`. They never hold key material. */
export const debug = debuglog('ticket-keys')
