import { createServer } from 'node:https'
import type { Server } from 'node:https'
import type { PeerCertificate, TlsOptions, TLSSocket } from 'node:tls'
import { serverCert } from './certs.js'
import { connect, ConnectError } from './connect.js'
import type { ConnectOptions, Exchange } from './connect.js'
import { listen } from './server.js'

/** What a server's application knew about a client. */
export interface Seen {
  reused: boolean
  authorized: boolean
  /** Common name of the client's certificate. */
  peer: string | null
}

/** The outcome of a connection: what the server saw, or that it refused the client. */
export type Outcome = Seen | 'refused'

/** A connection and its outcome. */
export interface VisitResult {
  outcome: Outcome
  /** As in {@link Exchange}. Empty if the client was refused. */
  tickets: Buffer[]
  session: Buffer | undefined
}

/** A listening HTTPS server whose response tells the client what the server knows about it. */
export interface MutualServer {
  server: Server
  port: number
}

/** Starts a server for {@link visit}. The default certificate is `serverCert()`. */
export async function mutualServer (options: TlsOptions = {}): Promise<MutualServer> {
  const { key, cert } = await serverCert()
  const server = createServer({ key, cert, ...options }, ({ socket }, response) => {
    response.end(JSON.stringify(look(socket as TLSSocket)))
  })
  return { server, port: await listen(server) }
}

function look (socket: TLSSocket): Seen {
  const name = (socket.getPeerCertificate() as Partial<PeerCertificate>).subject?.CN
  return { reused: socket.isSessionReused(), authorized: socket.authorized, peer: typeof name === 'string' ? name : null }
}

/**
 * Makes one connection to a {@link mutualServer}. Does not verify the server's certificate, so any server name works.
 */
export async function visit (options: ConnectOptions): Promise<VisitResult> {
  let exchange: Exchange
  try {
    exchange = await connect({ rejectUnauthorized: false, ...options })
  } catch (error) {
    if (!(error instanceof ConnectError) || error.message === 'timed out') throw error
    return { outcome: 'refused', tickets: [], session: undefined }
  }
  const { body, tickets, session } = exchange
  return { outcome: JSON.parse(body) as Seen, tickets, session }
}
