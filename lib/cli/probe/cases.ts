import { createSecureContext } from 'node:tls'
import type { Client } from './handshake.js'
import type { Protocol } from './report.js'
import { formatAddress, parseServerName, parseTarget, resolveTarget, serverNameOf } from './targets.js'
import type { Endpoint, Lookup, Target } from './targets.js'

/** Options of a probe. All are optional. */
export interface ProbeOptions {
  /** Connections per test, at least 2. Each address, server name and protocol gets three tests. Default: 30. */
  connections?: number
  /**
   * Server names to send. Each address is probed under each name. Default: the host's name, or none for an IP address.
   */
  servernames?: string[]
  /** PEM certificates to trust instead of Node.js's own. */
  ca?: string | Buffer
  /** Do not verify certificates. Default: `false`. */
  insecure?: boolean
  /** TLS versions to probe. Default: both. */
  protocols?: Protocol[]
  /** Time limit for one connection, in ms. Default: 10,000. */
  timeout?: number
  /** Protocols to offer by ALPN. Default: `['http/1.1']`, or none if `http` is `false`. */
  alpn?: string[]
  /**
   * Send an HTTP request on TLS 1.3 connections. The end of the response shows that all tickets have arrived. If
   * `false`, wait instead. Default: `true`.
   */
  http?: boolean
  /**
   * Treat all targets as one service, whose addresses should accept each other's tickets. Default: `false`, each target
   * is a separate service.
   */
  together?: boolean
  /** Finds the addresses of a name. Default: the system's resolver. */
  lookup?: Lookup
}

/** A combination of address, server name and protocol to measure. */
export interface Case {
  endpoint: Endpoint
  client: Client
  /** Why the host's addresses were not found. */
  error?: Error
  /** Cases with the same group belong to one service. */
  group: number
}

const LONGEST_TIMER = 2 ** 31 - 1 // ms; setTimeout does not wait at all for longer delays
/** All protocols that can be probed. */
export const PROTOCOLS: Protocol[] = ['TLSv1.2', 'TLSv1.3']

/**
 * Lists all cases to measure. Throws a `TypeError` for invalid targets and server names, and OpenSSL's error for an
 * invalid `ca`.
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
          const key = [formatAddress(endpoint), servername, protocol].join()
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
 * Pairs of cases that should accept each other's tickets: one service, different addresses. The second case gets the
 * server name of the first. This tests only whether the servers share keys, not whether they bind tickets to names.
 */
export function addressPairs (cases: Case[]): Array<[Case, Case]> {
  const found = new Map<string, [Case, Case]>()
  for (const [from, to] of pairs(cases, (from, to) => from.group === to.group && formatAddress(from.client) !== formatAddress(to.client))) {
    const client = { ...to.client, servername: from.client.servername }
    found.set([where(from.client), where(client), client.protocol].join(), [from, { ...to, client }])
  }
  return [...found.values()]
}

/** Pairs of cases at one address under different server names. */
export function namePairs (cases: Case[]): Array<[Case, Case]> {
  return pairs(cases, ({ client: from }, { client: to }) =>
    formatAddress(from) === formatAddress(to) && from.servername !== to.servername)
}

function pairs (cases: Case[], belong: (from: Case, to: Case) => boolean): Array<[Case, Case]> {
  return cases.flatMap((from) => cases
    .filter((to) => from.client.protocol === to.client.protocol && belong(from, to))
    .map((to): [Case, Case] => [from, to]))
}

/** Address and server name as readable text. */
export function where (client: Client): string {
  return client.servername === null ? formatAddress(client) : `${formatAddress(client)} (${client.servername})`
}
