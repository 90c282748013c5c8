import { lookup } from 'node:dns/promises'
import { domainToASCII } from 'node:url'
import { isIP, isIPv6 } from 'node:net'

const DEFAULT_PORT = 443

/** A host and port from the command line. */
export interface Target {
  /** Name, or IP address without brackets. */
  host: string
  port: number
}

/** One address of a target. */
export interface Endpoint extends Target {
  address: string
}

/** Finds the addresses of a name. Rejects if there are none. */
export type Lookup = (host: string) => Promise<string[]>

/**
 * Parses `HOST`, `HOST:PORT`, `[IPv6]`, `[IPv6]:PORT` or a bare IPv6 address. The default port is 443.
 * Throws a `TypeError` that quotes the invalid text.
 */
export function parseTarget (text: string): Target {
  const match = isIPv6(text) ? [text, text] : /^(\[[^[\]]+\]|[^[\]:/\s]+)(?::(\d{1,5}))?$/.exec(text)
  const host = hostOf(match?.[1] ?? '')
  const port = Number(match?.[2] ?? DEFAULT_PORT)
  if (host === '' || port < 1 || port > 65535) {
    throw new TypeError(`'${text}' is not HOST, HOST:PORT or [IPv6]:PORT`)
  }
  return { host, port }
}

/**
 * Parses a server name for SNI. Throws a `TypeError` for an invalid name, and for an IP address (RFC 6066 section 3: no
 * literal addresses).
 */
export function parseServerName (text: string): string {
  const name = domainToASCII(text)
  if (name === '' || isIP(name) !== 0) throw new TypeError(`'${text}' is not a server name`)
  return name.replace(/\.$/, '')
}

/**
 * Resolves a target to its addresses, without duplicates. An IP address resolves to itself. Rejects if a name
 * has no address.
 */
export async function resolveTarget (target: Target, find: Lookup = systemLookup): Promise<Endpoint[]> {
  const addresses = isIP(target.host) === 0 ? await find(target.host) : [target.host]
  if (addresses.length === 0) throw new Error(`${target.host} has no address`)
  return [...new Set(addresses)].map((address) => ({ ...target, address }))
}

/**
 * The server name that a client sends for a host: the name without a trailing dot, or `null` for an IP address (RFC
 * 6066 section 3).
 */
export function serverNameOf (host: string): string | null {
  return isIP(host) === 0 ? host.replace(/\.$/, '') : null
}

/** `address:port`, with brackets around IPv6. */
export function formatAddress ({ address, port }: { address: string, port: number }): string {
  return `${isIPv6(address) ? `[${address}]` : address}:${port}`
}

async function systemLookup (host: string): Promise<string[]> {
  const found = await lookup(host, { all: true })
  return found.map(({ address }) => address)
}

function hostOf (text: string): string {
  const inner = text.replace(/^\[|\]$/g, '')
  if (text.startsWith('[')) return isIPv6(inner) ? inner : ''
  return isIP(inner) === 0 ? domainToASCII(inner) : inner
}
