/** A host of `addContext`: under which names its context is taken, and what it trusts. */
export interface Host {
  /** what was given to `addContext`, made comparable */
  name: string
  /** labels of the pattern, in lower case, with their stars; `null` for a pattern that is no host name */
  labels: string[] | null
  /** digest of what the context trusts */
  trust: string
}

/** What a regular expression of Node.js's `addContext` was made from: `*` stands for any characters but dots. */
export function hostPattern (matcher: RegExp): Omit<Host, 'trust'> {
  const pattern = matcher.source.slice(1, -1).replaceAll('[^.]*', '*').replaceAll(/\\(.)/g, '$1')
  const isHost = /^[\w*.-]+$/.test(pattern)
  // Node.js 20 matches them by case, later versions don't: only then is the version a part of the policy.
  const name = pattern === pattern.toLowerCase() ? pattern : `${pattern} ${matcher.flags}`
  return { name, labels: isHost ? pattern.toLowerCase().split('.') : null }
}

/**
 * The hosts that make a difference, in an order that depends only on what they do: of two that match one name Node.js takes the later, so
 * their order counts if they trust different CAs, and no other order does. Adding a context again, with a new certificate and the
 * same CAs, changes nothing. `base` is what the server's own context trusts, which every other name gets.
 */
export function orderHosts (base: string, hosts: readonly Host[]): Host[] {
  const latest = new Map<string, Host>()
  for (const host of hosts) {
    latest.delete(host.name)
    latest.set(host.name, host)
  }
  const earlier = new Earlier()
  for (const host of latest.values()) {
    const rivals = earlier.overlapping(host).filter(({ trust }) => trust !== host.trust)
    if (host.trust === base && rivals.length === 0) continue
    earlier.add({ ...host, rank: 1 + Math.max(0, ...rivals.map(({ rank }) => rank)) })
  }
  return earlier.all.sort((a, b) => a.rank - b.rank || (a.name < b.name ? -1 : 1))
}

/** Among hosts that overlap and differ, a later one has a higher rank. */
type RankedHost = Host & { rank: number }

/** Hosts seen so far, such that each of very many names need not be compared with all. */
class Earlier {
  readonly all: RankedHost[] = []
  readonly #names = new Map<string, RankedHost[]>()
  readonly #patterns: RankedHost[] = []

  add (host: RankedHost): void {
    this.all.push(host)
    const key = plainName(host)
    if (key === undefined) this.#patterns.push(host)
    else this.#names.set(key, [...this.#names.get(key) ?? [], host])
  }

  overlapping (host: Host): RankedHost[] {
    const key = plainName(host)
    if (key === undefined) return this.all.filter((other) => mayOverlap(host, other))
    return [...this.#names.get(key) ?? [], ...this.#patterns.filter((other) => mayOverlap(host, other))]
  }
}

/** The only name that a host matches, if it is one without a star. */
function plainName ({ labels }: Host): string | undefined {
  const name = labels?.join('.')
  return name === undefined || name.includes('*') ? undefined : name
}

/** Whether some name may match both; `true` in doubt. */
function mayOverlap ({ labels: a }: Host, { labels: b }: Host): boolean {
  if (a === null || b === null) return true
  return a.length === b.length && a.every((label, i) => labelsMayOverlap(label, b[i] as string))
}

function labelsMayOverlap (a: string, b: string): boolean {
  if (!a.includes('*') && !b.includes('*')) return a === b
  const [headA, headB] = [a, b].map((label) => label.split('*', 1)[0] as string) as [string, string]
  const [tailA, tailB] = [a, b].map((label) => label.slice(label.lastIndexOf('*') + 1)) as [string, string]
  return (headA.startsWith(headB) || headB.startsWith(headA)) && (tailA.endsWith(tailB) || tailB.endsWith(tailA))
}
