import type { TLSSocket } from 'node:tls'

/** Length of a key name in bytes. Every ticket begins with the key name, in clear (RFC 5077 section 4). */
export const NAME_LENGTH = 16

/** When a key issues and accepts tickets, in milliseconds since 1970. `-Infinity` and `Infinity` mean no limit. */
export interface KeyTimes {
  /** when the key begins to issue tickets; before that, it only accepts them */
  notBefore: number
  /** when the key stops issuing */
  issueUntil: number
  /** when its tickets are refused and its bytes are erased */
  acceptUntil: number
}

/**
 * A key from a source, for the ring. `setRing` zeroes `aesKey` and `hmacKey`, so a source must return copies. Both may
 * be missing if the ring already has a key of this name.
 */
export interface SourceKey extends KeyTimes {
  /** 16 bytes */
  name: Buffer
  /** 16 or 32 bytes */
  aesKey?: Buffer
  /** as long as `aesKey` */
  hmacKey?: Buffer
}

/**
 * The labels of the addon's counters. The addon exports its own list (native/keys/counters.h), and a test
 * compares the two.
 */
export const PROTOCOLS = ['TLSv1.2', 'TLSv1.3'] as const
export const REASONS = [
  'unknown_key', 'expired_key', 'bad_ticket', 'mismatch', 'context', 'session_expired', 'session_too_old',
  'session_revoked', 'server_name', 'client_certificate', 'callback_error'
] as const

/** Conditions of revocations. A revocation counts under the first of its conditions. */
export const CONDITIONS = ['fingerprint', 'server_name', 'data', 'all'] as const

export type RevocationCondition = typeof CONDITIONS[number]
export type Protocol = typeof PROTOCOLS[number]
export type RejectReason = typeof REASONS[number]

/** The options that the addon needs, already checked. Durations are in ms. */
export interface NativeOptions {
  ticketLifetime: number
  maxSessionAge: number
  /** sessions that were authenticated further in the future than this are refused */
  maxClockSkew: number
  tls12Tickets: boolean
  bindServerName: boolean
  resumeSniCallback: boolean
  ticketsPerHandshake: number
  /** 1 to 32 bytes */
  sessionIdContext: Buffer
}

/** A key of the ring without its bytes. `exportKeys` writes the bytes to the buffer that it is given. */
export interface HeldKey extends KeyTimes {
  name: Buffer
}

declare const capturedContext: unique symbol

/** A captured SSL_CTX. It does not keep the SSL_CTX alive: also hold JavaScript's context. */
export type CapturedContext = bigint & { readonly [capturedContext]: never }

/** A host name or pattern with its own context. */
export interface Host {
  /** host name in lower case; `*` stands for any characters except dots */
  pattern: string
  context: CapturedContext
  /** digest of the client-certificate policy, 16 bytes */
  policy: Buffer
}

/** A full handshake, for the option `sessionData`. */
export interface AuthenticatedSession {
  protocol: Protocol
  /** the server name (SNI) in lower case without a trailing dot; `null` if the client sent none */
  serverName: string | null
  /** whether the server asked for a client certificate and verified it; `socket.authorized` is set later */
  authorized: boolean
  /** the verified chain in DER, the client's certificate first; empty if `authorized` is false */
  chain: Buffer[]
}

/** Returns what to keep with a session, at most 512 bytes. Called in the middle of a handshake, so it must not wait. */
export type SessionDataFunction = (session: AuthenticatedSession) => Buffer | null

/** How the addon calls such a function (lib/tls/session-data.ts). The result `false` means: issue no ticket. */
export type NativeSessionData = (tls13: boolean, serverName: string | null, authorized: boolean, chain: Buffer[]) => Buffer | null | false

/** What the addon needs to know about a server. */
export interface ServerSettings {
  /** digest of the client-certificate policy of the server's own context, 16 bytes */
  policy: Buffer
  sniCallback: boolean
  /** the session ID context that the server's owner has set; empty: none */
  sessionIdContext: Buffer
  /** the limit that the server's owner has set, ms; Infinity: none */
  sessionTimeout: number
  /** asks what the application keeps with the session of a full handshake; `null`: it keeps nothing */
  sessionData: NativeSessionData | null
}

/** Conditions for `revokeSessions`, already checked. `null`: not given. */
export interface NativeRevocation {
  /** ms since 1970 */
  before: number | null
  /** in lower case without a trailing dot */
  serverName: Buffer | null
  /** 32 bytes */
  fingerprint: Buffer | null
  dataPrefix: Buffer | null
}

/** The native part of a manager: ring, policy and counters. All threads that open its handle share it. */
export interface NativeManager {
  /** identifies this manager in other threads of the process, while any thread has it open */
  readonly handle: number
  /** false if the system did not lock the ring's pages against swapping (RLIMIT_MEMLOCK) */
  readonly memoryLocked: boolean
  /**
   * Replaces the ring, and returns whether its keys differ from the previous ones. Tickets of the `expired` names are
   * refused as expired. Throws, without changes, if a key has no bytes and is not in the ring, or if the system is out
   * of memory.
   */
  setRing (keys: SourceKey[], expired: Buffer[]): boolean
  keyTimes (): HeldKey[]
  /**
   * Like `keyTimes`. Also writes each key's bytes to `out`: the AES key at 64 × its index, the HMAC key 32 bytes later.
   */
  exportKeys (out: Buffer): Array<HeldKey & { keyLength: 16 | 32 }>
  /**
   * Manages the tickets of a server's own context from now on.
   * Throws if memory is exhausted.
   */
  attach (context: CapturedContext, server: ServerSettings): { noTicket: boolean }
  /**
   * Adds hosts to an attached context, in the order of the `addContext` calls. `null` stands for a host
   * with unknown names.
   */
  addHosts (context: CapturedContext, hosts: Array<Host | null>): void
  /** Until the next `addHosts`, connections that request client certificates neither resume nor get tickets. */
  hostsChanged (context: CapturedContext): void
  /**
   * Counts a finished handshake. Call it inside 'secureConnection'. If the handshake resumed from a ticket, returns the
   * server name in the ticket ('' without one), and sets `ticket` to the key id, the time of issue and the time of
   * authentication. Otherwise returns `null`.
   */
  handshakeDone (tls13: boolean, resumed: boolean, ticket: Float64Array): string | null
  readCounters (out: Float64Array): void
  /**
   * Refuses the sessions that meet the conditions from now on, and counts the revocation. Returns until when the refused
   * sessions were authenticated, ms since 1970. `widened`: there were too many revocations, and every session
   * authenticated until now is refused instead.
   */
  revokeSessions (revocation: NativeRevocation): { until: number, widened: boolean }
  /** sessions authenticated at or before this time are refused, ms since 1970; -1: none are */
  readonly revokedUntil: number
  /** number of revocations with conditions that are in force */
  readonly revocations: number
  setClockOffset (milliseconds: number): void
  /**
   * Calls `listener` soon after a ticket could not be issued for lack of a key. Does so once until the next `setRing`.
   */
  onNoCurrentKey (listener: (() => void) | null): void
}

/** The answer of lib/tls/ticket-key-callback.ts to the addon: a status alone, or a key and a status. */
export type Decision = number | [name: Buffer, aesKey: Buffer, hmacKey: Buffer, status: number]

/** Exports of the addon. */
export interface Addon {
  Manager: new (options: NativeOptions | number) => NativeManager
  /**
   * Inside 'secureConnection': returns a function that returns what the application keeps with the session. The
   * function asks the application, unless it was asked before. `null` if nothing is kept.
   */
  keptData (): (() => Buffer | null) | null
  setTicketKeyCallback (
    context: CapturedContext,
    decide: (issue: boolean, keyName: Buffer | null, tls13: boolean, serverName: string | null) => Decision
  ): boolean
  /** Finds the SSL_CTX of the server-side socket that `makeSocket` returns; `null` if it creates none. */
  captureContext (makeSocket: () => TLSSocket): CapturedContext | null
  /**
   * A 32-byte digest of what a context trusts in client certificates; `null` if OpenSSL failed. `bundled` holds the
   * digests of the CA certificates that come with Node.js, 32 bytes each. `unlisted`: the CA store cannot be listed, and
   * the digest is valid in this process only.
   */
  trustDigest (context: CapturedContext, bundled: Buffer, unlisted: boolean): Buffer | null
  /** Whether a context has all CA certificates of `bundled`. */
  hasBundledRoots (context: CapturedContext, bundled: Buffer): boolean
  /** Identifies the CA store of a context, as long as the context exists. */
  storeOf (context: CapturedContext): bigint
  /**
   * Allocates memory that is locked, left out of core dumps, zeroed in forked children, and
   * cleansed when garbage-collected.
   */
  allocateSecret (bytes: number): Buffer
  cleanse (buffer: Buffer): void
  /** HKDF-SHA256 (RFC 5869) into `out`; false if OpenSSL refused. */
  hkdf (secret: Buffer, salt: Buffer, info: Buffer, out: Buffer): boolean
  /** AES-256-GCM into `out`, which is 16 bytes longer than `plain`; false if OpenSSL refused. */
  seal (key: Buffer, iv: Buffer, associated: Buffer, plain: Buffer, out: Buffer): boolean
  /** Decrypts into `out`; false, with `out` zeroed, if any byte differs from what was sealed. */
  open (key: Buffer, iv: Buffer, associated: Buffer, sealed: Buffer, out: Buffer): boolean
  /** upper bounds of the age histogram, seconds */
  ageBounds: number[]
  counterCount: number
  protocols: string[]
  reasons: string[]
}
