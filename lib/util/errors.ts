import createError from '@fastify/error'

/** Options that are wrong, all of them in one message, each named by option or variable, never by value. */
export const OptionsError = createError('FST_TICKET_KEYS_OPTIONS', 'ticket keys: %s', 500, TypeError)

/** The server has no TLS context: plain HTTP, or not a server at all. */
export const NotTlsError = createError('FST_TICKET_KEYS_NOT_TLS', 'ticket keys: %s', 500, TypeError)

/** Bun, Deno, Electron, or a Node.js without OpenSSL 3. */
export const RuntimeError = createError('FST_TICKET_KEYS_RUNTIME', 'ticket keys: %s')

/** No binary of the addon for this platform; says what was looked for and how to build it. */
export const NotBuiltError = createError('FST_TICKET_KEYS_NOT_BUILT', 'ticket keys: %s')

/** A key source that can't be read: file missing, directory empty, permissions. */
export const SourceError = createError('FST_TICKET_KEYS_SOURCE', 'ticket keys: %s')

/** A key file that can't be parsed; names file, format, and line or byte offset. */
export const FormatError = createError('FST_TICKET_KEYS_FORMAT', 'ticket keys: %s')

/** A key that must not be used: all zero, one repeated byte, printable text, a name or bytes that another key has. */
export const WeakKeyError = createError('FST_TICKET_KEYS_WEAK_KEY', 'ticket keys: %s')

/** Two sources named at once, or a variable and its `_FILE` twin. */
export const TwoSourcesError = createError('FST_TICKET_KEYS_TWO_SOURCES', 'ticket keys: %s', 500, TypeError)

/** `rotate` on a source that does not make its own keys. */
export const RotateError = createError('FST_TICKET_KEYS_ROTATE', 'ticket keys: %s')

/** A callback given to `setTicketKeyCallback` threw, or returned something that is not a decision. */
export const CallbackError = createError('FST_TICKET_KEYS_CALLBACK', 'ticket keys: %s')

/** The manager was closed. */
export const ClosedError = createError('FST_TICKET_KEYS_CLOSED', 'ticket keys: %s')
