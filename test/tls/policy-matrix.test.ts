import { randomBytes } from 'node:crypto'
import type { Server } from 'node:https'
import { createSecureContext } from 'node:tls'
import t from 'tap'
import type { TicketKeys } from '../../lib/manager/ticket-keys.js'
import { REASONS } from '../../lib/native/types.js'
import type { RejectReason } from '../../lib/native/types.js'
import { makeCa, serverCert } from '../helpers/certs.js'
import type { KeyPair } from '../helpers/certs.js'
import { PROTOCOLS } from '../helpers/client.js'
import type { Protocol } from '../helpers/client.js'
import { manage } from '../helpers/managed.js'
import { mutualServer, visit } from '../helpers/mutual.js'
import type { Outcome } from '../helpers/mutual.js'
import { closeAll } from '../helpers/server.js'

t.teardown(closeAll)

const [{ key, cert }, caA, caB] = await Promise.all([serverCert(), makeCa('CA A'), makeCa('CA B')])
const CLIENTS: Record<string, Partial<KeyPair>> = {
  nobody: {},
  alice: await caA.issue({ name: 'alice', client: true }),
  bob: await caB.issue({ name: 'bob', client: true })
}
const CAS = { A: [caA.cert], B: [caB.cert], AB: [caA.cert, caB.cert] }

/** The default host without a name and with one, a host of addContext, one by a star, one of an SNICallback where there is one. */
const NAMES = ['', 'default.test', 'added.test', 'x.wild.test', 'sni.test'] as const
type Name = typeof NAMES[number]

interface Policy {
  certificates: 'none' | 'optional' | 'required'
  ca: keyof typeof CAS
  /** of the hosts that have their own context: by addContext, or by the SNICallback */
  hosts: keyof typeof CAS
  callback?: boolean
}

const POLICIES: Policy[] = [
  { certificates: 'none', ca: 'A', hosts: 'B' },
  { certificates: 'none', ca: 'A', hosts: 'B', callback: true },
  { certificates: 'optional', ca: 'A', hosts: 'A' },
  { certificates: 'optional', ca: 'A', hosts: 'B' },
  { certificates: 'optional', ca: 'AB', hosts: 'A' },
  { certificates: 'required', ca: 'A', hosts: 'A' },
  { certificates: 'required', ca: 'A', hosts: 'B' },
  { certificates: 'required', ca: 'B', hosts: 'A' },
  { certificates: 'required', ca: 'AB', hosts: 'AB' },
  { certificates: 'required', ca: 'A', hosts: 'B', callback: true },
  { certificates: 'optional', ca: 'B', hosts: 'A', callback: true }
]

interface Host {
  policy: Policy
  port: number
  keys: TicketKeys
}

const source = { type: 'static' as const, keys: [randomBytes(80)] }

async function start (policy: Policy): Promise<Host> {
  const { certificates, hosts, callback } = policy
  const context = (): ReturnType<typeof createSecureContext> => createSecureContext({ key, cert, ca: CAS[hosts] })
  const { server, port } = await mutualServer({
    requestCert: certificates !== 'none',
    rejectUnauthorized: certificates === 'required',
    ca: CAS[policy.ca],
    ...(callback === true && { SNICallback: (name, done) => { done(null, name === 'sni.test' ? context() : undefined) } })
  })
  if (callback !== true) addHosts(server, context)
  const { keys } = await manage(t, { source })
  keys.attach(server)
  return { policy, port, keys }
}

function addHosts (server: Server, context: () => ReturnType<typeof createSecureContext>): void {
  server.addContext('*.wild.test', context())
  server.addContext('added.test', { key, cert, ca: CAS.AB })
  server.addContext('added.test', context())
}

/** Two servers of each policy. */
const fleet = await Promise.all([...POLICIES, ...POLICIES].map(start))

/** A session that some client got at some server under some name. */
interface Made {
  host: Host
  name: Name
  client: string
  protocol: Protocol
  outcome: Outcome
  session: Buffer | undefined
  tickets: number
}

async function meet (host: Host, name: Name, client: string, protocol: Protocol, session?: Buffer): Promise<Made> {
  const { port } = host
  const visited = await visit({ port, protocol, session, ...CLIENTS[client], ...(name !== '' && { servername: name }) })
  return { host, name, client, protocol, ...visited, tickets: visited.tickets.length }
}

/**
 * The number of tickets that a full handshake issues by the design. If a certificate is requested, there are none for a
 * client without a certificate, and none with an SNICallback.
 */
function ticketsMade ({ policy }: Host, client: string, protocol: Protocol): number {
  const asked = policy.certificates !== 'none'
  return asked && (client === 'nobody' || policy.callback === true) ? 0 : protocol === 'TLSv1.3' ? 2 : 1
}

function describe ({ host, name }: { host: Host, name: Name }): string {
  return JSON.stringify({ ...host.policy, name })
}

/** The client-certificate policy of a name. With an SNICallback, there are no tickets to compare. */
function policyOf ({ policy }: Host, name: Name): string {
  const ca = name === 'added.test' || name === 'x.wild.test' ? policy.hosts : policy.ca
  return `${policy.certificates} ${ca} ${policy.callback === true}`
}

/** Why a ticket is refused, by the design; `null`: it is not. */
function whyRefused (made: Made, shown: Host, name: Name): RejectReason | null {
  if (made.name !== name) return 'server_name'
  if (shown.policy.certificates === 'none') return made.host.policy.certificates === 'none' ? null : 'client_certificate'
  return policyOf(made.host, name) === policyOf(shown, name) ? null : 'client_certificate'
}

function counts ({ keys }: Host, protocol: Protocol): Record<string, number> {
  const { issued, renewed, resumed, rejected, handshakes } = keys.stats()
  return {
    issued: issued[protocol],
    renewed: renewed[protocol],
    resumed: resumed[protocol],
    fullHandshakes: handshakes[protocol].full,
    resumedHandshakes: handshakes[protocol].resumed,
    ...Object.fromEntries(REASONS.map((reason) => [reason, rejected[protocol][reason]]))
  }
}

function grown (before: Record<string, number>, after: Record<string, number>): Record<string, number> {
  const changes = Object.entries(after).map(([name, count]) => [name, count - (before[name] ?? 0)] as const)
  return Object.fromEntries(changes.filter(([, by]) => by !== 0))
}

/** Numbers below `limit` that look random and are the same in every run. */
function * scattered (limit: number): Generator<number, never> {
  for (let state = 1; ; state = Math.imul(state, 48271) >>> 0) yield state % limit
}

for (const protocol of PROTOCOLS) {
  t.test(protocol, async (t) => {
    // At the first server of each policy; its twin has to give the same.
    const places = fleet
      .slice(0, POLICIES.length)
      .flatMap((host) => NAMES.flatMap((name) => Object.keys(CLIENTS).map((client) => ({ host, name, client }))))
    const made: Made[] = []
    for (const { host, name, client } of places) made.push(await meet(host, name, client, protocol))
    const full = (host: Host, name: Name, client: string): Outcome =>
      made.find((each) => each.host.policy === host.policy && each.name === name && each.client === client)?.outcome as Outcome

    for (const { host, name, client, outcome, tickets } of made) {
      const expected = outcome === 'refused' ? 0 : ticketsMade(host, client, protocol)
      if (tickets !== expected) t.equal(tickets, expected, `tickets for ${client} at ${JSON.stringify({ ...host.policy, name })}`)
    }

    const tally = { cases: 0, resumed: 0, refused: 0, shutOut: 0 }
    const show = async (first: Made, host: Host, name: Name): Promise<void> => {
      const { client } = first
      const before = counts(host, protocol)
      const { outcome } = await meet(host, name, client, protocol, first.session)
      const direct = full(host, name, client)
      const reason = first.tickets === 0 ? 'no ticket' : whyRefused(first, host, name)
      const issued = host.policy.certificates === 'required' && client === 'nobody' ? 0 : ticketsMade(host, client, protocol)
      const expected: Record<string, number> =
        reason === null
          ? { ...(protocol === 'TLSv1.3' && { renewed: 1 }), resumed: 1, resumedHandshakes: 1 }
          : {
              ...(issued > 0 && { issued }),
              ...(direct !== 'refused' && { fullHandshakes: 1 }),
              ...(reason !== 'no ticket' && { [reason]: 1 })
            }
      // Whatever happens, the application is told what a full handshake would tell it.
      const told = direct === 'refused' ? direct : { ...direct, reused: reason === null }
      tally.cases++
      if (reason === null) tally.resumed++
      else if (reason !== 'no ticket') tally.refused++
      if (direct === 'refused') tally.shutOut++
      t.strictSame(
        { outcome, counted: grown(before, counts(host, protocol)) },
        { outcome: told, counted: expected },
        `${client}, issued ${describe(first)}, presented ${describe({ host, name })}`
      )
    }

    // Where it has to resume, or is one of the stated exceptions: the same policy, mostly on another server, and the same name.
    for (const [i, first] of made.filter(({ outcome }) => outcome !== 'refused').entries()) {
      const twin = fleet[fleet.indexOf(first.host) + POLICIES.length] as Host
      await show(first, i % 4 === 0 ? first.host : twin, first.name)
    }
    // All other pairs are too many: some of those with the same name, and some of any.
    const holders = made.filter(({ tickets }) => tickets > 0)
    const next = scattered(2 ** 31 - 1)
    const pick = <Value>(from: readonly Value[]): Value => from[next.next().value % from.length] as Value
    for (let i = 0; i < 250; i++) {
      const first = pick(holders)
      await show(first, pick(fleet), i % 2 === 0 ? first.name : pick(NAMES))
    }
    t.comment(JSON.stringify(tally))
    t.ok(tally.cases >= 200 && tally.resumed >= 80 && tally.refused >= 100 && tally.shutOut >= 30, 'enough of each kind')
  })
}
