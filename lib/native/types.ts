import type { TLSSocket } from 'node:tls'

/** Bytes of a key's name, which every ticket begins with, in clear (RFC 5077 section 4). */
export const NAME_LENGTH = 16

/** When a key acts: milliseconds since 1970, `-Infinity` and `Infinity` for "always has" and "for ever". */
export interface KeyTimes {
  /** from when it issues tickets; before that it only accepts them */
  notBefore: number
  /** from when it no longer issues */
  issueUntil: number
  /** from when its tickets are refused and its bytes erased */
  acceptUntil: number
}

/**
 * A key as a source gives it and the ring takes it. `setRing` zeroes `aesKey` and `hmacKey`: a source gives copies. A key whose name is in
 * the
 * ring already may leave both out.
 */
export interface SourceKey extends KeyTimes {
  /** 16 bytes */
  name: Buffer
  /** 16 or 32 bytes */
  aesKey?: Buffer
  /** as long as `aesKey` */
  hmacKey?: Buffer
}

/** The order of the addon's counters (native/keys/counters.h). */
export const PROTOCOLS = ['TLSv1.2', 'TLSv1.3'] as const
export const REASONS = [
  'unknown_key', 'expired_key', 'bad_ticket', 'mismatch', 'context', 'session_expired', 'session_too_old',
  'session_revoked', 'server_name', 'client_certificate', 'callback_error'
] as const

export type Protocol = typeof PROTOCOLS[number]
export type RejectReason = typeof REASONS[number]

/** What the addon needs of the options; checked before. Durations in ms. */
export interface NativeOptions {
  ticketLifetime: number
  maxSessionAge: number
  /** sessions authenticated later than this after now are refused */
  maxClockSkew: number
  tls12Tickets: boolean
  bindServerName: boolean
  resumeSniCallback: boolean
  ticketsPerHandshake: number
  /** 1 to 32 bytes */
  sessionIdContext: Buffer
}

/** A key of the ring as it is shown: never its bytes, which `exportKeys` puts into the buffer it is given. */
export interface HeldKey extends KeyTimes {
  name: Buffer
}

declare const capturedContext: unique symbol

/** A captured SSL_CTX. It does not keep the SSL_CTX alive: whoever has this value also has JavaScript's context. */
export type CapturedContext = bigint & { readonly [capturedContext]: never }

/** Some names of a server that have a context of their own. */
export interface Host {
  /** host name in lower case; `*` stands for any characters but dots */
  pattern: string
  context: CapturedContext
  /** digest of the client-certificate policy, 16 bytes */
  policy: Buffer
}

/** The native half of a manager: ring, policy and counters, shared by all threads that open its handle. */
export interface NativeManager {
  /** names this manager in other threads of the process, while any thread has it open */
  readonly handle: number
  /** false where the system did not lock the ring's pages against swapping (RLIMIT_MEMLOCK) */
  readonly memoryLocked: boolean
  /** Replaces the ring. `expired` are names whose tickets are refused as expired. Throws, changing nothing, where a key has no bytes. */
  setRing (keys: SourceKey[], expired: Buffer[]): void
  keyTimes (): HeldKey[]
  /** As `keyTimes`, with each key's AES half at 64 × its index in `out` and its HMAC half 32 bytes on. */
  exportKeys (out: Buffer): Array<HeldKey & { keyLength: 16 | 32 }>
  /** Manages the tickets of a server's own context, from here on. `policy` is that of the context. Throws where memory is out. */
  attach (context: CapturedContext, policy: Buffer, sniCallback: boolean): { noTicket: boolean }
  /** Adds hosts to an attached context, in the order in which `addContext` was called; `null` for a host whose names are not known. */
  addHosts (context: CapturedContext, hosts: Array<Host | null>): void
  /** Until the next `addHosts`, connections that request client certificates neither resume nor get tickets. */
  hostsChanged (context: CapturedContext): void
  /**
   * Counts a finished handshake, inside its 'secureConnection'. True if it resumed from a ticket: `ticket` then has key id, time of issue,
   * time of authentication.
   */
  handshakeDone (tls13: boolean, resumed: boolean, ticket: Float64Array): boolean
  readCounters (out: Float64Array): void
  revokeSessions (): void
  setClockOffset (milliseconds: number): void
  /** Calls back, soon, when a ticket could not be issued for want of a key; once until the next `setRing`. */
  onNoCurrentKey (listener: (() => void) | null): void
}

/** What lib/tls/ticket-key-callback.ts answers to the addon: a bare status, or a key and a status. */
export type Decision = number | [name: Buffer, aesKey: Buffer, hmacKey: Buffer, status: number]

/** Exports of the addon. */
export interface Addon {
  Manager: new (options: NativeOptions | number) => NativeManager
  setTicketKeyCallback (
    context: CapturedContext,
    decide: (issue: boolean, keyName: Buffer | null, tls13: boolean, serverName: string | null) => Decision
  ): boolean
  /** Finds the SSL_CTX of the server-side socket that `makeSocket` returns; `null` where it made none. */
  captureContext (makeSocket: () => TLSSocket): CapturedContext | null
  /** What a context takes client certificates by, 32 bytes; `null` where OpenSSL failed. `roots` is a context without a `ca`. */
  trustDigest (context: CapturedContext, roots: CapturedContext): Buffer | null
  /** Memory that is locked, left out of core dumps and zeroed in forked children; cleansed when collected. */
  allocateSecret (bytes: number): Buffer
  cleanse (buffer: Buffer): void
  /** HKDF-SHA256 (RFC 5869) into `out`; false where OpenSSL refused. */
  hkdf (secret: Buffer, salt: Buffer, info: Buffer, out: Buffer): boolean
  /** upper bounds of the age histogram, seconds */
  ageBounds: number[]
  counterCount: number
}
