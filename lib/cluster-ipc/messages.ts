import type { Serializable } from 'node:child_process'

/*
 * Messages between a cluster's primary and its workers. The application and other libraries use the same channel, so
 * every message is an object with a `type` of this package. Messages hold only plain values, such as strings and whole
 * numbers, which both serializations support.
 */

/** A primary that shares its keys sets this variable to its process id, for the workers that it forks. */
export const PRIMARY_VARIABLE = 'FASTIFY_TICKET_KEYS_PRIMARY'

/** `rotate`: the keys after a rotation. `replace`: the keys after all of them were replaced. */
export type Wanted = 'keys' | 'rotate' | 'replace'

/** A worker asks for the keys. */
export interface KeysRequest {
  type: 'fastify-ticket-keys:request'
  /** identifies the answer */
  id: number
  /** P-256 public key in DER (RFC 5480), base64; the primary seals keys for it from now on */
  publicKey: string
  /** first make the next key the current key */
  rotate: boolean
  /** with `rotate`: replace every key */
  replace: boolean
}

/** The primary sends the keys because they have changed, or as an answer. */
export interface KeysMessage {
  type: 'fastify-ticket-keys:keys'
  /** id of the request; null without a request */
  id: number | null
  /** identifies the keys; changes when they do */
  revision: string
  /** sealed ring, base64 */
  sealed: string
}

/** The primary does not share its keys. It answers this after it has closed its manager. */
export interface NotShared {
  type: 'fastify-ticket-keys:not-shared'
  id: number
}

/** The primary shares its keys, but could not do what the worker asked for. */
export interface Failed {
  type: 'fastify-ticket-keys:failed'
  id: number
  /** text for the worker's error, without key material */
  problem: string
}

/** The primary has begun to share its keys. Sent to workers that may have started before. */
export interface Offer {
  type: 'fastify-ticket-keys:offer'
}

export type FromPrimary = KeysMessage | NotShared | Failed | Offer

const FROM_PRIMARY: readonly unknown[] = ['keys', 'not-shared', 'failed', 'offer'].map((type) => `fastify-ticket-keys:${type}`)

/** The request in a worker's message; undefined for all other messages. */
export function readRequest (message: unknown): KeysRequest | undefined {
  return typeOf(message) === 'fastify-ticket-keys:request' ? message as KeysRequest : undefined
}

/** A message of the primary for this package; undefined for all other messages. */
export function readFromPrimary (message: unknown): FromPrimary | undefined {
  return FROM_PRIMARY.includes(typeOf(message)) ? message as FromPrimary : undefined
}

function typeOf (message: unknown): Serializable | undefined {
  return typeof message === 'object' && message !== null ? (message as { type?: Serializable }).type : undefined
}
