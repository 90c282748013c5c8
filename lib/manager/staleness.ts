/** The values that decide whether keys are stale. */
export interface KeyAge {
  /** whether a key can issue tickets now */
  issues: boolean
  /** whether the keys' own times say when they rotate */
  timed: boolean
  /** ms since the source last gave different keys */
  unchangedFor: number
  /** ms after which a list without times is stale */
  maxListAge: number
}

/** Returns why the keys are stale; `null` if they are not. */
export function staleReason ({ issues, timed, unchangedFor, maxListAge }: KeyAge): string | null {
  if (!issues) return 'no key may issue tickets now: full handshakes only, no new tickets'
  if (!timed && unchangedFor > maxListAge) {
    return 'the list of keys has not changed for twice rotationInterval; its key goes on issuing'
  }
  return null
}
