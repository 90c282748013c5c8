import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { connect } from './connect.js'
import type { ConnectOptions } from './connect.js'
import { relay } from './relay.js'
import type { RelayOptions } from './relay.js'
import { rawSession } from './session.js'

/** Shorter than any ServerHello, so that the client never sends its Finished message. */
const PART_OF_SERVER_HELLO = 40

/**
 * When a client hangs up: after the TCP handshake; after its ClientHello; after the first bytes of the ServerHello; or
 * when its own handshake is finished, before it reads a TLS 1.3 ticket.
 */
export type Stage = 'connected' | 'client-hello' | 'server-hello' | 'finished'

/**
 * Connects, hangs up at a stage, and resolves when the connection is closed. Offers the ticket of `session`, if set.
 */
export async function hangUp (stage: Stage, options: ConnectOptions): Promise<void> {
  const { port, host = '127.0.0.1' } = options
  switch (stage) {
    case 'connected': {
      const socket = connectTcp({ port, host })
      await once(socket, 'connect')
      socket.destroy()
      await once(socket, 'close')
      return
    }
    case 'client-hello': return await cutOff(options, { host, cutAfterClientHello: true })
    case 'server-hello': return await cutOff(options, { host, cutAfterServerBytes: PART_OF_SERVER_HELLO })
    case 'finished': return await hangUpWhenFinished(options)
  }
}

async function cutOff (options: ConnectOptions, cut: RelayOptions): Promise<void> {
  const between = await relay(options.port, cut)
  try {
    const outcome = await connect({ ...options, host: '127.0.0.1', port: between.port }).then(
      () => 'finished', () => 'cut')
    if (outcome === 'finished') throw new Error('the connection was finished instead of cut')
  } finally {
    await between.close()
  }
}

async function hangUpWhenFinished (options: ConnectOptions): Promise<void> {
  const { port, host = '127.0.0.1', session, protocol, servername } = options
  const socket = connectTls({
    port,
    host,
    session: session === undefined ? session : rawSession(session),
    rejectUnauthorized: false,
    ...(servername !== undefined && { servername }),
    ...(protocol !== undefined && { minVersion: protocol, maxVersion: protocol })
  })
  await once(socket, 'secureConnect')
  // Node.js writes the Finished message at the end of this turn of the event loop.
  setImmediate(() => { socket.destroy() })
  await once(socket, 'close')
}
