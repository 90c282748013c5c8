import { captureContext, isTlsServer } from './server-internals.js'
import { CallbackError } from '../util/errors.js'
import { NAME_LENGTH } from '../native/types.js'
import { addon, assertSupportedRuntime } from '../native/binding.js'
import type { Decision } from '../native/types.js'
import { OptionErrors } from '../util/option-errors.js'

/** What a ticket key callback answers, as in SSL_CTX_set_tlsext_ticket_key_evp_cb(3). */
export const TicketStatus = Object.freeze({
  /** go on with this key, and give the client a new ticket: the callback is then called again to issue it */
  Renew: 2,
  /** go on with this key */
  Accept: 1,
  /** no key: a full handshake, or no ticket */
  None: 0,
  /** break the handshake */
  Error: -1
})
/** 2, 1, 0 or −1: a value of `TicketStatus`. */
export type TicketStatusCode = typeof TicketStatus[keyof typeof TicketStatus]

/** A key as the callback gives it: AES-128-CBC or AES-256-CBC by the length of `aesKey`, HMAC-SHA256. */
export interface CallbackKey {
  /** 16 bytes */
  name: Buffer
  /** 16 or 32 bytes */
  aesKey: Buffer
  /** 16 to 64 bytes */
  hmacKey: Buffer
}

/** What is asked: for the key of a new ticket, or for that of a ticket which a client has shown. */
export type TicketKeyRequest = {
  protocol: 'TLSv1.2' | 'TLSv1.3'
  /** the name that the client asked for, in lower case for `resume`; `null` if it named none */
  serverName: string | null
} & ({
  operation: 'issue'
  keyName?: undefined
} | {
  operation: 'resume'
  /** in clear in the ticket, 16 bytes */
  keyName: Buffer
})

/** What is answered: a status, with a key for `Accept` and `Renew`. */
export interface TicketKeyDecision {
  status: TicketStatusCode
  key?: CallbackKey
}

export type TicketKeyCallback = (request: TicketKeyRequest) => TicketKeyDecision

export interface TicketKeyCallbackOptions {
  /**
   * Told, after the handshake step, of what the callback threw (as `cause`) or answered wrongly; that ticket cost a full handshake.
   * Default: a
   * Node.js warning.
   */
  onError?: (error: Error) => void
}

/**
 * OpenSSL's own interface: `callback` decides, ticket by ticket, while the handshake waits (18 to 35 µs). It must not be asynchronous.
 * Returns
 * whether it was set: `false` for a server without TLS. It takes the place of a manager on this server, and has to be set again after
 * `server.setSecureContext()`. Throws FST_TICKET_KEYS_OPTIONS.
 */
export function setTicketKeyCallback (server: unknown, callback: TicketKeyCallback, options: TicketKeyCallbackOptions = {}): boolean {
  const onError = checkArguments(callback, options)
  // On other runtimes a server with TLS does not look like one.
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
      const error = new CallbackError(`the ticket key callback failed: ${cause instanceof Error ? cause.message : 'it threw no Error'}`)
      error.cause = cause
      // Not in the middle of the handshake.
      setImmediate(onError, error)
      return TicketStatus.None
    }
  })
}

/** Gives what hears of errors. */
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

/** The addon trusts what it is given: nothing goes there that was not looked at. */
function check (decision: unknown): Decision {
  if (typeof decision !== 'object' || decision === null) throw new TypeError('it must return { status, key }')
  if (decision instanceof Promise) {
    // What it rejects with would end the process.
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
