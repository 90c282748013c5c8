import type { Serializable } from 'node:child_process'

/*
 * What passes between a cluster's primary and its workers, on the channel that the application and other libraries use too: every
 * message is an object with a `type` of ours, and holds strings and whole numbers only, which both serializations carry.
 */

/** Set by a primary that shares, for the workers that it forks: its process id. */
export const PRIMARY_VARIABLE = 'FASTIFY_TICKET_KEYS_PRIMARY'

/** A worker asks for the keys, and for a rotation before. */
export interface KeysRequest {
  type: 'fastify-ticket-keys:request'
  /** for the answer */
  id: number
  /** X25519, DER (RFC 8410), base64: what keys are sealed for from now on */
  publicKey: string
  rotate: boolean
}

/** The primary gives the keys, because they changed or as an answer. */
export interface KeysMessage {
  type: 'fastify-ticket-keys:keys'
  /** of the request; null where there was none */
  id: number | null
  /** which keys these are: other ones have another revision */
  revision: string
  /** sealed ring, base64 */
  sealed: string
}

/** The primary does not share: the answer once it has closed what it shared. */
export interface NotShared {
  type: 'fastify-ticket-keys:not-shared'
  id: number
}

/** The primary shares, and could not do what it was asked for. */
export interface Failed {
  type: 'fastify-ticket-keys:failed'
  id: number
  /** for the worker's error; without key material */
  problem: string
}

/** The primary has begun to share: to workers that may have started before. */
export interface Offer {
  type: 'fastify-ticket-keys:offer'
}

export type FromPrimary = KeysMessage | NotShared | Failed | Offer

const FROM_PRIMARY: readonly string[] = ['keys', 'not-shared', 'failed', 'offer'].map((type) => `fastify-ticket-keys:${type}`)

/** The request in a worker's message; undefined if it is somebody else's. */
export function readRequest (message: unknown): KeysRequest | undefined {
  return typeOf(message) === 'fastify-ticket-keys:request' ? message as KeysRequest : undefined
}

/** A message of the primary to us; undefined if it is for somebody else. */
export function readFromPrimary (message: unknown): FromPrimary | undefined {
  return FROM_PRIMARY.includes(String(typeOf(message))) ? message as FromPrimary : undefined
}

function typeOf (message: unknown): Serializable | undefined {
  return typeof message === 'object' && message !== null ? (message as { type?: Serializable }).type : undefined
}
