import { captureContext, isTlsServer } from './server-internals.js'
import { CallbackError } from '../util/errors.js'
import { NAME_LENGTH } from '../native/types.js'
import { addon, assertSupportedRuntime } from '../native/binding.js'
import type { Decision } from '../native/types.js'
import { OptionErrors } from '../util/option-errors.js'

/** Return values of a ticket key callback, as in SSL_CTX_set_tlsext_ticket_key_evp_cb(3). */
export const TicketStatus = Object.freeze({
  /** use this key, and issue a new ticket: the callback is then called again to issue it */
  Renew: 2,
  /** use this key */
  Accept: 1,
  /** no key: do a full handshake, or issue no ticket */
  None: 0,
  /** abort the handshake */
  Error: -1
})
/** 2, 1, 0 or −1: a value of `TicketStatus`. */
export type TicketStatusCode = typeof TicketStatus[keyof typeof TicketStatus]

/** A key from the callback. The length of `aesKey` selects AES-128-CBC or AES-256-CBC. The MAC is HMAC-SHA256. */
export interface CallbackKey {
  /** 16 bytes */
  name: Buffer
  /** 16 or 32 bytes */
  aesKey: Buffer
  /** 16 to 64 bytes */
  hmacKey: Buffer
}

/** A request for the key of a new ticket, or of a ticket that a client presented. */
export type TicketKeyRequest = {
  protocol: 'TLSv1.2' | 'TLSv1.3'
  /** the server name that the client sent, in lower case for `resume`; `null` if it sent none */
  serverName: string | null
} & ({
  operation: 'issue'
  keyName?: undefined
} | {
  operation: 'resume'
  /** 16 bytes; the ticket contains the name in clear */
  keyName: Buffer
})

/** The callback's answer: a status, with a key for `Accept` and `Renew`. */
export interface TicketKeyDecision {
  status: TicketStatusCode
  key?: CallbackKey
}

export type TicketKeyCallback = (request: TicketKeyRequest) => TicketKeyDecision

export interface TicketKeyCallbackOptions {
  /**
   * Called after the handshake step if the callback threw (the error's `cause`) or returned an invalid answer. No key
   * is used then: the client does a full handshake or gets no ticket. Default: a Node.js warning.
   */
  onError?: (error: Error) => void
}

/**
 * OpenSSL's own ticket key interface. `callback` decides for each ticket while the handshake waits (18 to 35 µs). It
 * must not be asynchronous. Returns whether the callback was set: `false` for a server without TLS. The callback
 * replaces a manager on this server. Set it again after `server.setSecureContext()`. Throws FST_TICKET_KEYS_OPTIONS.
 */
export function setTicketKeyCallback (server: unknown, callback: TicketKeyCallback, options: TicketKeyCallbackOptions = {}): boolean {
  const onError = checkArguments(callback, options)
  // On unsupported runtimes, a TLS server is not recognized as one. Throw a clear error instead.
  assertSupportedRuntime()
  const context = isTlsServer(server) ? captureContext(server._sharedCreds?.context) : null
  if (context === null) return false
  return addon().setTicketKeyCallback(context, (issue, keyName, tls13, serverName) => {
    try {
      const protocol = tls13 ? 'TLSv1.3' : 'TLSv1.2'
      return check(callback(issue || keyName === null
        ? { operation: 'issue', protocol, serverName }
        : { operation: 'resume', keyName, protocol, serverName }))
    } catch (cause) {
      const problem = cause instanceof Error ? cause.message : 'it threw a value that is not an Error'
      const error = new CallbackError(`the ticket key callback failed: ${problem}`, { cause })
      // Do not run the listener in the middle of the handshake.
      setImmediate(onError, error)
      return TicketStatus.None
    }
  })
}

/** Checks the arguments. Returns the error listener. */
function checkArguments (callback: unknown, options: unknown): (error: Error) => void {
  const problems = new OptionErrors()
  if (typeof callback !== 'function') problems.add('the ticket key callback', 'must be a function')
  if (typeof options !== 'object' || options === null) problems.add('the options', 'must be an object')
  const { onError = warn, ...others } = (options ?? {}) as Record<string, unknown>
  if (typeof onError !== 'function') problems.add('onError', 'must be a function')
  for (const other of Object.keys(others)) problems.add(other, 'is not an option')
  problems.throwIfAny()
  return onError as (error: Error) => void
}

function warn (error: Error): void {
  process.emitWarning(error)
}

/** Checks an answer, because the addon does not. */
function check (decision: unknown): Decision {
  if (typeof decision !== 'object' || decision === null) throw new TypeError('it must return { status, key }')
  if (decision instanceof Promise) {
    // An unhandled rejection would end the process.
    decision.catch(() => {})
    throw new TypeError(
      'it must return { status, key }, and not a promise: it is asked in the middle of a handshake, which can\'t wait for one'
    )
  }
  const { status, key } = decision as Partial<TicketKeyDecision>
  if (status === TicketStatus.None || status === TicketStatus.Error) return status
  if (status !== TicketStatus.Accept && status !== TicketStatus.Renew) throw new TypeError('status must be one of TicketStatus')
  const { name, aesKey, hmacKey } = (key ?? {}) as Partial<CallbackKey>
  if (!Buffer.isBuffer(name) || name.length !== NAME_LENGTH) throw new TypeError('key.name must be a Buffer of 16 bytes')
  if (!Buffer.isBuffer(aesKey) || (aesKey.length !== 16 && aesKey.length !== 32)) {
    throw new TypeError('key.aesKey must be a Buffer of 16 or 32 bytes')
  }
  if (!Buffer.isBuffer(hmacKey) || hmacKey.length < 16 || hmacKey.length > 64) {
    throw new TypeError('key.hmacKey must be a Buffer of 16 to 64 bytes')
  }
  return [name, aesKey, hmacKey, status]
}
