import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'

const HANDSHAKE_RECORD = 22
const CLIENT_HELLO = 1

/** Options of a relay. */
export interface RelayOptions {
  /** The server's address, default 127.0.0.1. */
  host?: string
  /** Cuts both connections after it has passed on the client's first bytes. */
  cutAfterClientHello?: boolean
  /** Passes on this number of bytes from the server, then cuts both connections. */
  cutAfterServerBytes?: number
}

/** A TCP relay between a client and a server that records the clients' bytes. */
export interface Relay {
  /** The relay's port on 127.0.0.1. */
  port: number
  /**
   * The number of unencrypted ClientHellos in each connection, oldest connection first. 2 after a HelloRetryRequest.
   */
  clientHellos: () => number[]
  /** All bytes that each client sent, oldest connection first. */
  sent: () => Buffer[]
  close: () => Promise<void>
}

/** Listens for clients and connects each to `port`. */
export async function relay (port: number, options: RelayOptions = {}): Promise<Relay> {
  const fromClients: Buffer[][] = []
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    const upstream = connect({ port, host: options.host ?? '127.0.0.1' })
    const chunks: Buffer[] = []
    let serverBytes = 0
    fromClients.push(chunks)
    const cut = (): void => {
      client.destroy()
      upstream.destroy()
    }
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', cut)
      socket.on('close', () => {
        sockets.delete(socket)
        cut()
      })
    }
    client.on('end', () => { upstream.end() })
    upstream.on('end', () => { client.end() })
    client.on('data', (bytes: Buffer) => {
      chunks.push(bytes)
      upstream.write(bytes, () => { if (options.cutAfterClientHello === true) cut() })
    })
    upstream.on('data', (bytes: Buffer) => {
      const left = (options.cutAfterServerBytes ?? Infinity) - serverBytes
      serverBytes += bytes.length
      client.write(bytes.subarray(0, left), () => { if (bytes.length >= left) cut() })
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const sent = (): Buffer[] => fromClients.map((chunks) => Buffer.concat(chunks))
  return {
    port: (server.address() as AddressInfo).port,
    clientHellos: () => sent().map(countClientHellos),
    sent,
    close: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => { server.close(resolve) })
    }
  }
}

/** Walks the TLS records (RFC 8446, section 5.1): type, version, length, content. */
function countClientHellos (bytes: Buffer): number {
  let count = 0
  for (let offset = 0; offset + 5 < bytes.length; offset += 5 + bytes.readUInt16BE(offset + 3)) {
    if (bytes[offset] === HANDSHAKE_RECORD && bytes[offset + 5] === CLIENT_HELLO) count++
  }
  return count
}
