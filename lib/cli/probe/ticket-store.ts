import type { Handshake, HeldTicket } from './handshake.js'

// A server that refuses this many connections in a row won't be asked further.
const MAX_CONSECUTIVE_FAILURES = 3

/** One connection of a series: either a handshake or an error. */
export interface Attempt {
  handshake?: Handshake
  error?: Error
}

/** What went wrong, in a line. OpenSSL's messages are mostly about its own source files; its reason is what a person can use. */
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

/** A client that keeps to the first ticket it got. */
export function fixed (): TicketStore {
  let first: HeldTicket | undefined
  return { take: () => first, put: (tickets) => { first ??= tickets[0] } }
}

/** One connection after the other. Ends early when the server keeps failing: at once if the very first connection does. */
export async function series (connect: Connect, connections: number, store: TicketStore): Promise<Attempt[]> {
  const attempts: Attempt[] = []
  while (attempts.length < connections && !gaveUp(attempts)) {
    const attempt: Attempt = await connect(store.take()).then((handshake) => ({ handshake }), (error: Error) => ({ error }))
    store.put(attempt.handshake?.tickets ?? [])
    attempts.push(attempt)
  }
  return attempts
}

/** Whether the last connections of a series all failed. */
export function gaveUp (attempts: Attempt[]): boolean {
  if (attempts.length === 1) return attempts[0]?.error !== undefined
  return attempts.length >= MAX_CONSECUTIVE_FAILURES && attempts.slice(-MAX_CONSECUTIVE_FAILURES).every(({ error }) => error !== undefined)
}
