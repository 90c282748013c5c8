import type { RejectReason } from '../../lib/native/types.js'
import type { Protocol } from '../../test/helpers/client.js'
import { LIFETIME_MS, MAX_SESSION_AGE_MS } from './host.js'

/** The server's manager refuses sessions that are dated further in the future than this. */
const MAX_CLOCK_SKEW_MS = 300_000

/** A ticket is not offered when it may end during the handshake. The server's limits have whole seconds. */
const MARGIN_MS = 3000

/** Why the server may refuse a ticket that is too old, or from the future: its key may have ended too. */
export const TIME_REASONS: readonly RejectReason[] = ['session_expired', 'session_too_old', 'expired_key', 'unknown_key']

/** What a server does with a ticket: resumes, or refuses it for one of several reasons. `null`: not certain. */
export type Verdict = 'resumes' | readonly RejectReason[] | null

/** What decides about sessions on the servers of a group. */
export interface Rules {
  /** ms by which the servers' clock is ahead of this process's clock */
  clockOffset: number
  /** sessions authenticated until this time, by the servers' clock, are refused */
  revokedUntil: number
  /** names of the keys in the key file, in hex; `null`: the servers make their keys */
  keyNames: readonly string[] | null
  /** the client-certificate policy in force for each client */
  policies: ReadonlyMap<string, string>
}

/** A client's session with a ticket. */
export interface Session {
  bytes: Buffer
  protocol: Protocol
  /** name of the client */
  client: string
  keyName: string
  /** the client-certificate policy under which the client was authenticated */
  policy: string | undefined
  /** the full handshake, by the servers' clock, ms since 1970 */
  authenticatedAt: number
  /** when the ticket ends by the servers' clock, by this process's clock, and because its key ends */
  end: number
  realEnd: number
  keyEnd: number
}

/** Describes a ticket that was issued just now. `resumed`: the session that this ticket renews. */
export function newSession (
  received: Pick<Session, 'bytes' | 'protocol' | 'client' | 'keyName'>, { clockOffset, policies }: Rules, resumed?: Session
): Session {
  const now = Date.now() + clockOffset
  const authenticatedAt = resumed?.authenticatedAt ?? now
  // Renewed TLS 1.2 tickets keep the end of the session.
  const start = received.protocol === 'TLSv1.3' ? now : authenticatedAt
  const end = Math.min(start + LIFETIME_MS, received.protocol === 'TLSv1.3' ? authenticatedAt + MAX_SESSION_AGE_MS : Infinity)
  return {
    ...received, policy: policies.get(received.client), authenticatedAt, end, realEnd: Date.now() + end - now, keyEnd: Infinity
  }
}

/**
 * Says what a server does with a ticket that it gets within `margin` ms from now, under the client's own name and
 * certificate.
 */
export function verdict (session: Session, rules: Rules, margin = MARGIN_MS): Verdict {
  const { clockOffset, revokedUntil, keyNames, policies } = rules
  const now = Date.now() + clockOffset
  if (keyNames !== null && !keyNames.includes(session.keyName)) return ['unknown_key']
  const left = Math.min(session.end - now, session.realEnd - Date.now(), session.keyEnd - now,
    now + MAX_CLOCK_SKEW_MS - session.authenticatedAt)
  if (left < margin) return left > -margin ? null : TIME_REASONS
  if (session.authenticatedAt <= revokedUntil) return ['session_revoked']
  return session.policy === policies.get(session.client) ? 'resumes' : ['client_certificate']
}
