import createError from '@fastify/error'

/** Invalid options. A single message names every invalid option or variable, but never its value. */
export const OptionsError = createError('FST_TICKET_KEYS_OPTIONS', 'ticket keys: %s', 500, TypeError)

/** The server has no TLS context: plain HTTP, or not a server at all. */
export const NotTlsError = createError('FST_TICKET_KEYS_NOT_TLS', 'ticket keys: %s', 500, TypeError)

/** Bun, Deno, Electron, or a Node.js without OpenSSL 3. */
export const RuntimeError = createError('FST_TICKET_KEYS_RUNTIME', 'ticket keys: %s')

/** No binary of the addon loads on this platform. The message says where the loader looked and how to build one. */
export const NotBuiltError = createError('FST_TICKET_KEYS_NOT_BUILT', 'ticket keys: %s')

/** A key source that cannot be read, for example a missing file, an empty directory or missing permissions. */
export const SourceError = createError('FST_TICKET_KEYS_SOURCE', 'ticket keys: %s')

/** A key file that cannot be parsed. The message names the file, the format, and the line or byte offset. */
export const FormatError = createError('FST_TICKET_KEYS_FORMAT', 'ticket keys: %s')

/** A key that must not be used: all zero, one repeated byte, printable text, or the name or bytes of another key. */
export const WeakKeyError = createError('FST_TICKET_KEYS_WEAK_KEY', 'ticket keys: %s')

/** Two sources at once, or a variable together with its `_FILE` variable. */
export const TwoSourcesError = createError('FST_TICKET_KEYS_TWO_SOURCES', 'ticket keys: %s', 500, TypeError)

/** `rotate` was called, but the source does not make its own keys. */
export const RotateError = createError('FST_TICKET_KEYS_ROTATE', 'ticket keys: %s')

/** A callback given to `setTicketKeyCallback` threw, or returned an invalid decision. */
export const CallbackError = createError('FST_TICKET_KEYS_CALLBACK', 'ticket keys: %s')

/** The manager was closed. */
export const ClosedError = createError('FST_TICKET_KEYS_CLOSED', 'ticket keys: %s')
