// Without Fastify. What @ts-expect-error is for: see plugin.test-d.ts.
import { createServer } from 'node:https'
import type { TLSSocket } from 'node:tls'
import {
  createTicketKeys, setTicketKeyCallback, TicketKeys, TicketStatus, tlsSession,
  type KeySource, type Log, type SourceKeys, type TicketKeyDecision, type TlsSession
} from 'fastify-ticket-keys'
import { exactly, fits } from './expect.js'

const server = createServer()
const bytes = Buffer.alloc(32)

const log: Log = { info () {}, warn () {}, error () {} }
const keys = await createTicketKeys({ log, source: { type: 'memory' } })
exactly<TicketKeys>()(keys)
exactly<TicketKeys>()(keys.attach(server))
exactly<boolean>()(keys instanceof TicketKeys)
exactly<string | null>()(keys.status().current)
exactly<'next' | 'current' | 'previous'>()(keys.status().keys[0]!.state)
exactly<Promise<{ until: number }>>()(keys.revokeSessions({ serverName: 'a.test' }))
// @ts-expect-error: messages only
await createTicketKeys({ log: { info () {}, warn () {} } })
// @ts-expect-error: a source is an object
await createTicketKeys({ source: 'memory' })
// @ts-expect-error: nothing shows the keys' bytes
fits<Buffer>(keys.status().keys[0]?.aesKey)

// Events, with what each carries.
keys.on('rotation', ({ current, previous }) => {
  exactly<string | null>()(current)
  exactly<string | null>()(previous)
})
keys.once('reload', ({ result }) => { exactly<'success' | 'unchanged'>()(result) })
keys.on('reload-error', (error) => { exactly<Error>()(error) })
keys.on('stale', ({ reason }) => { exactly<string>()(reason) })
// @ts-expect-error: without what the event carries
keys.emit('rotation')
// @ts-expect-error: the event carries an object
keys.on('reload', (result: string) => result)

// Sessions of sockets.
server.on('secureConnection', (socket: TLSSocket) => {
  exactly<TlsSession | null>()(tlsSession(socket))
  exactly<string | null | undefined>()(tlsSession(socket)?.protocol)
})
tlsSession(undefined)
// @ts-expect-error: sockets only
tlsSession('socket')

// Sources of one's own: at the least a type and load; asynchronous or not.
class Store implements KeySource {
  readonly type = 'store'
  readonly pollInterval = 60_000
  async load (now: number): Promise<SourceKeys> {
    return {
      keys: [{ name: bytes.subarray(0, 16), aesKey: bytes, hmacKey: bytes, notBefore: now, issueUntil: now + 1, acceptUntil: now + 2 }],
      timed: true,
      refreshAt: now + 60_000
    }
  }

  async watch (changed: () => void): Promise<void> { setTimeout(changed, 1000) }
  close (): void {}
}
await createTicketKeys({ source: { type: 'vault', load: () => null } })
await createTicketKeys({ source: new Store() })
// @ts-expect-error: without load
fits<KeySource>({ type: 'vault' })
// @ts-expect-error: without type
fits<KeySource>({ load: () => null })
// @ts-expect-error: a list is not a key set
fits<KeySource>({ type: 'vault', load: () => [] })
// @ts-expect-error: a key without times
fits<SourceKeys>({ keys: [{ name: bytes, aesKey: bytes, hmacKey: bytes }], timed: true })

// OpenSSL's own interface.
const set = setTicketKeyCallback(server, ({ operation, keyName, serverName, protocol }) => {
  exactly<'issue' | 'resume'>()(operation)
  exactly<Buffer | undefined>()(keyName)
  exactly<string | null>()(serverName)
  exactly<'TLSv1.2' | 'TLSv1.3'>()(protocol)
  if (operation === 'resume') exactly<Buffer>()(keyName)
  return keyName === undefined
    ? { status: TicketStatus.None }
    : { status: TicketStatus.Renew, key: { name: keyName, aesKey: bytes, hmacKey: bytes } }
}, { onError: (error) => { exactly<Error>()(error) } })
exactly<boolean>()(set)
// @ts-expect-error: the handshake does not wait for promises
setTicketKeyCallback(server, async (): Promise<TicketKeyDecision> => ({ status: TicketStatus.None }))
// @ts-expect-error: no such status
setTicketKeyCallback(server, () => ({ status: 3 }))
// @ts-expect-error: a key has parts
setTicketKeyCallback(server, () => ({ status: TicketStatus.Accept, key: bytes }))
// @ts-expect-error: constants
TicketStatus.Renew = 1
