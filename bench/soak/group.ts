import type { KeyPair } from '../../test/helpers/certs.js'
import { ticketKeyName, withLongLife, type Exchange } from '../../test/helpers/client.js'
import { until } from '../../test/helpers/process.js'
import type { Listener } from './host.js'
import type { Random } from './random.js'
import { newSession, verdict, type Rules, type Session, type Verdict } from './session.js'
import { Tally } from './tally.js'

/** The clients of a group keep this many tickets. */
const MAX_SESSIONS = 60

/** A kind of client, with its own name for the server and its own certificate. */
export interface Client {
  name: string
  servername?: string
  pair?: KeyPair
  /** the common name of its certificate, as the server sees it */
  peer: string | null
  /** the server gives it tickets */
  getsTickets: boolean
  /** the CAs of client certificates that the server trusts for its name */
  cas: string
}

/** A listening server, as its clients see it. */
export interface Target extends Listener {
  /** connections under way */
  busy: number
  /** the server is about to end: no new connections */
  closing: boolean
}

/** Servers under one manager, and the clients that visit them. */
export class Group {
  readonly name: string
  readonly clients: readonly Client[]
  readonly targets: Target[]
  readonly tally = new Tally()
  readonly rules: Rules & { policies: Map<string, string> }
  readonly sessions: Session[] = []
  /** the latest full handshake, by the servers' clock */
  newest = -1

  constructor (name: string, clients: readonly Client[], listeners: Listener[]) {
    this.name = name
    this.clients = clients
    this.targets = listeners.map((listener) => ({ ...listener, busy: 0, closing: false }))
    this.rules = {
      clockOffset: 0, revokedUntil: -1, keyNames: null, policies: new Map(clients.map(({ name, cas }) => [name, cas]))
    }
  }

  /** The servers' clock, ms since 1970. */
  get now (): number {
    return Date.now() + this.rules.clockOffset
  }

  /** Runs `visit` with a server that stays until the visit is over. */
  async withTarget<Result> (random: Random, visit: (target: Target) => Promise<Result>): Promise<Result> {
    const target = random.pick(this.targets.filter(({ closing }) => !closing))
    target.busy++
    this.tally.connections++
    try {
      return await visit(target)
    } finally {
      target.busy--
    }
  }

  /** Replaces a server: waits until its connections are over, and lets `replace` make another. */
  async replaceTarget (index: number, replace: () => Promise<Listener>): Promise<void> {
    const target = this.targets[index] as Target
    if (target.closing) return
    target.closing = true
    await until(() => target.busy === 0)
    this.targets[index] = { ...await replace(), busy: 0, closing: false }
  }

  /** Picks a session of a client. Single use removes the session. */
  pick (random: Random, client: Client, single: boolean): Session | undefined {
    const own = this.sessions.filter((session) => session.client === client.name)
    const session = own.length === 0 ? undefined : random.pick(own)
    if (session !== undefined && single) this.sessions.splice(this.sessions.indexOf(session), 1)
    return session
  }

  /** Keeps the tickets of a connection. */
  keep (client: Client, { tickets, protocol }: Exchange, resumed?: Session): void {
    for (const bytes of tickets) {
      const keyName = ticketKeyName(bytes).toString('hex')
      // Otherwise the client would not offer a TLS 1.3 ticket after its lifetime.
      const lasting = withLongLife(bytes)
      const session = newSession({ bytes: lasting, protocol, client: client.name, keyName }, this.rules, resumed)
      this.newest = Math.max(this.newest, session.authenticatedAt)
      this.sessions.push(session)
    }
    this.sessions.splice(0, Math.max(0, this.sessions.length - MAX_SESSIONS))
  }

  /** Follows a step of the servers' clock. Steps back end the keys that have issued, one ticket lifetime from then on. */
  step (milliseconds: number, lifetime: number): void {
    this.rules.clockOffset += milliseconds
    if (milliseconds >= 0) return
    for (const session of this.sessions) session.keyEnd = Math.min(session.keyEnd, this.now + lifetime)
  }

  verdict (session: Session, margin?: number): Verdict {
    return verdict(session, this.rules, margin)
  }
}
