import { createServer } from 'node:https'
import type { Server } from 'node:https'
import type { PeerCertificate, TlsOptions, TLSSocket } from 'node:tls'
import { serverCert } from './certs.js'
import { connect, ConnectError } from './connect.js'
import type { ConnectOptions, Exchange } from './connect.js'
import { listen } from './server.js'

/** What a server's application knew of a client. */
export interface Seen {
  reused: boolean
  authorized: boolean
  /** Common name of the client's certificate. */
  peer: string | null
}

/** What became of a connection: what the server saw, or that the client was not let in. */
export type Outcome = Seen | 'refused'

/** A connection, and what became of it. */
export interface Visit {
  outcome: Outcome
  /** As in {@link Exchange}; none where the client was not let in. */
  tickets: Buffer[]
  session: Buffer | undefined
}

/** A listening HTTPS server that tells a client what it knows of it. */
export interface MutualServer {
  server: Server
  port: number
}

/** Starts a server for {@link visit}, with `serverCert()` unless told otherwise. */
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

/** One connection to a {@link mutualServer}, under whatever name: the server's certificate is not looked at. */
export async function visit (options: ConnectOptions): Promise<Visit> {
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
