import { createSecureContext } from 'node:tls'
import type { Client } from './handshake.js'
import type { Protocol } from './report.js'
import { parseServerName, parseTarget, place, resolveTarget, serverNameOf } from './targets.js'
import type { Endpoint, Lookup, Target } from './targets.js'

/** How to probe; everything has a default. */
export interface ProbeOptions {
  /** Connections per test, at least 2; there are three tests for each address, server name and protocol. 30. */
  connections?: number
  /** Server names to send, each address being probed under each. The host's name; none for an IP address. */
  servernames?: string[]
  /** PEM certificates to trust, in place of those that Node.js does. */
  ca?: string | Buffer
  /** Don't verify certificates. `false`. */
  insecure?: boolean
  /** TLS versions. Both. */
  protocols?: Protocol[]
  /** ms for one connection. 10,000. */
  timeout?: number
  /** Protocols to offer by ALPN. `['http/1.1']`, or none without `http`. */
  alpn?: string[]
  /**
   * Send an HTTP request on TLS 1.3 connections, so that the end of the answer tells when all tickets have come; otherwise wait. `true`.
   */
  http?: boolean
  /** Take all targets for one service, whose addresses should accept each other's tickets. `false`: the addresses of each target. */
  together?: boolean
  /** Finds the addresses of a name. The system's resolver. */
  lookup?: Lookup
}

/** An address under a server name over a protocol, to be measured. */
export interface Case {
  endpoint: Endpoint
  client: Client
  /** Why the host's addresses were not found. */
  error?: Error
  /** Cases of one group belong to one service. */
  group: number
}

const LONGEST_TIMER = 2 ** 31 - 1 // ms; setTimeout makes more than this no wait at all
/** All that are probed. */
export const PROTOCOLS: Protocol[] = ['TLSv1.2', 'TLSv1.3']

/**
 * Everything there is to measure. Throws a `TypeError` for targets and names that can't be read, and what OpenSSL throws for a wrong `ca`.
 */
export async function makeCases (targets: readonly string[], options: ProbeOptions): Promise<Case[]> {
  const { protocols = PROTOCOLS, http = true, alpn = http ? ['http/1.1'] : [], insecure = false } = options
  const timeout = Math.min(options.timeout ?? 10_000, LONGEST_TIMER)
  const names = options.servernames?.map(parseServerName)
  const contexts = protocols.map((protocol) => ({
    protocol,
    context: createSecureContext({ minVersion: protocol, maxVersion: protocol, ...(options.ca === undefined ? {} : { ca: options.ca }) })
  }))
  const cases = new Map<string, Case>()
  for (const [index, target] of targets.map(parseTarget).entries()) {
    const { endpoints, error } = await addressesOf(target, options.lookup)
    const group = options.together === true ? 0 : index
    for (const endpoint of endpoints) {
      for (const servername of names ?? [serverNameOf(target.host)]) {
        for (const { protocol, context } of contexts) {
          const { address, port } = endpoint
          const client = { address, port, servername, protocol, context, verify: !insecure, verifyName: !insecure, alpn, http, timeout }
          const key = [place(endpoint), servername, protocol].join()
          if (!cases.has(key)) cases.set(key, { endpoint, client, group, ...(error === undefined ? {} : { error }) })
        }
      }
    }
  }
  return [...cases.values()]
}

async function addressesOf (target: Target, lookup?: Lookup): Promise<{ endpoints: Endpoint[], error?: Error }> {
  return await resolveTarget(target, lookup).then(
    (endpoints) => ({ endpoints }),
    (error: Error) => ({ endpoints: [{ ...target, address: target.host }], error }))
}

/**
 * Cases whose tickets should be good for each other: of one service, at different addresses. The second case comes under the name of the
 * first: whether servers share keys is one question, whether they bind tickets to names another.
 */
export function addressPairs (cases: Case[]): Array<[Case, Case]> {
  const found = new Map<string, [Case, Case]>()
  for (const [from, to] of pairs(cases, (from, to) => from.group === to.group && place(from.client) !== place(to.client))) {
    const client = { ...to.client, servername: from.client.servername }
    found.set([where(from.client), where(client), client.protocol].join(), [from, { ...to, client }])
  }
  return [...found.values()]
}

/** Cases at one address under different names. */
export function namePairs (cases: Case[]): Array<[Case, Case]> {
  return pairs(cases, (from, to) => place(from.client) === place(to.client) && from.client.servername !== to.client.servername)
}

function pairs (cases: Case[], belong: (from: Case, to: Case) => boolean): Array<[Case, Case]> {
  return cases.flatMap((from) => cases
    .filter((to) => from.client.protocol === to.client.protocol && belong(from, to))
    .map((to): [Case, Case] => [from, to]))
}

/** Address and server name, for people. */
export function where (client: Client): string {
  return client.servername === null ? place(client) : `${place(client)} (${client.servername})`
}
