import { randomBytes } from 'node:crypto'
import type { Server } from 'node:tls'
import type { Test } from 'tap'
import { setTicketKeyCallback, TicketStatus, type CallbackKey, type TicketKeyDecision, type TicketKeyRequest } from '../../lib/index.js'
import type { Exchange } from './client.js'
import { plainHttps, type Handshake, type PlainServer } from './server.js'

export const { Accept, Error: Break, None, Renew } = TicketStatus

/** A random key with the given lengths of its AES and HMAC keys. */
export function makeKey (aesLength = 32, hmacLength = 32): CallbackKey {
  return { name: randomBytes(16), aesKey: randomBytes(aesLength), hmacKey: randomBytes(hmacLength) }
}

/** A server, its callback's answers, and the calls of the callback. */
export interface Scripted {
  port: number
  handshakes: Handshake[]
  server: Server
  /** Returns and clears the operations of the calls so far, oldest first. */
  asked: () => string[]
  requests: TicketKeyRequest[]
  errors: Array<Error & { code?: string }>
  /** The answers from now on. By default the callback accepts. */
  script: { issue?: () => TicketKeyDecision, resume?: () => TicketKeyDecision }
}

/** Starts such a server. */
export async function scripted (t: Test, key = makeKey(), start: () => Promise<PlainServer<Server>> = plainHttps): Promise<Scripted> {
  const { port, server, handshakes } = await start()
  const found: Scripted = {
    port,
    server,
    handshakes,
    requests: [],
    errors: [],
    script: {},
    asked: () => found.requests.splice(0).map(({ operation }) => operation)
  }
  t.ok(setTicketKeyCallback(server, (request) => {
    found.requests.push(request)
    const answer = found.script[request.operation]
    return answer === undefined ? { status: Accept, key } : answer()
  }, { onError: (error) => { found.errors.push(error) } }), 'the callback was set')
  return found
}

/** The result of a connection, as the client saw it. */
export function seen ({ reused, status, tickets }: Exchange): { reused: boolean, status: number | undefined, tickets: number } {
  return { reused, status, tickets: tickets.length }
}
