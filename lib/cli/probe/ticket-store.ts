import type { Handshake, HeldTicket } from './handshake.js'

// A series ends after this many failed connections in a row.
const MAX_CONSECUTIVE_FAILURES = 3

/** One connection of a series: either a handshake or an error. */
export interface Attempt {
  handshake?: Handshake
  error?: Error
}

/**
 * Describes an error in one line. OpenSSL's `reason` is readable, but its messages are mostly about its
 * own source files.
 */
export function describe (error: Error): string {
  return 'reason' in error && typeof error.reason === 'string' ? error.reason : error.message
}

/** Makes one connection, offering the ticket if there is one. */
export type Connect = (held?: HeldTicket) => Promise<Handshake>

/** How a client picks the ticket to offer. */
export interface TicketStore {
  take: () => HeldTicket | undefined
  put: (tickets: HeldTicket[]) => void
}

/** A client that keeps all tickets and uses each one once, as browsers do (RFC 8446 appendix C.4). */
export function singleUse (): TicketStore {
  const pool: HeldTicket[] = []
  return { take: () => pool.pop(), put: (tickets) => { pool.push(...tickets) } }
}

/** A client that always offers the newest ticket, as most programs do. */
export function latest (): TicketStore {
  let last: HeldTicket | undefined
  return { take: () => last, put: (tickets) => { last = tickets.at(-1) ?? last } }
}

/** A client that always offers its first ticket. */
export function fixed (): TicketStore {
  let first: HeldTicket | undefined
  return { take: () => first, put: (tickets) => { first ??= tickets[0] } }
}

/** Makes connections one after the other. Ends early if the server keeps failing, or if the first connection fails. */
export async function series (connect: Connect, connections: number, store: TicketStore): Promise<Attempt[]> {
  const attempts: Attempt[] = []
  while (attempts.length < connections && !gaveUp(attempts)) {
    const attempt: Attempt = await connect(store.take()).then((handshake) => ({ handshake }), (error: Error) => ({ error }))
    store.put(attempt.handshake?.tickets ?? [])
    attempts.push(attempt)
  }
  return attempts
}

/** Whether a series has failed: its first connection, or its last connections in a row. */
export function gaveUp (attempts: Attempt[]): boolean {
  if (attempts.length === 1) return attempts[0]?.error !== undefined
  return attempts.length >= MAX_CONSECUTIVE_FAILURES && attempts.slice(-MAX_CONSECUTIVE_FAILURES).every(({ error }) => error !== undefined)
}
