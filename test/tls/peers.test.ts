import { createDecipheriv, createHmac, randomBytes } from 'node:crypto'
import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { HAPROXY_MIN_KEYS, serializeKeys, type KeyFormat } from '../../lib/keys/formats/index.js'
import type { SourceKey, TicketKey } from '../../lib/keys/key.js'
import { FileSource } from '../../lib/sources/watched-files.js'
import { connect, PROTOCOLS, ReusingClient, sessionTicket, SingleUseClient } from '../helpers/client.js'
import { idOf, issuerAt, randomKey } from '../helpers/keys.js'
import { serve, type Managed } from '../helpers/managed.js'
import { until } from '../helpers/process.js'
import { haproxy, nginx } from '../helpers/real-servers.js'
import { closeAll, type PlainServer } from '../helpers/server.js'

t.teardown(closeAll)

/** Replaces a file in one go. */
function put (path: string, data: Buffer): void {
  writeFileSync(`${path}.new`, data, { mode: 0o600 })
  renameSync(`${path}.new`, path)
}

/** Waits until a key issues for good: workers that are on their way out may still accept a connection. */
async function issues (port: number, id: string): Promise<void> {
  let inARow = 0
  await until(async () => {
    inARow = await issuerAt(port) === id ? inARow + 1 : 0
    return inARow === 10
  }, 30_000)
}

/** Sessions of each server, of both versions, go on when `change` makes another key the issuing one. */
async function keepSessions (t: Test, servers: Record<string, number>, after: string, change: () => void): Promise<void> {
  const clients = Object.entries(servers).flatMap(([name, port]) => [
    { name: `${name}, TLSv1.3`, client: new SingleUseClient({ port, protocol: 'TLSv1.3' }) },
    { name: `${name}, TLSv1.2`, client: new ReusingClient({ port, protocol: 'TLSv1.2' }) }
  ])
  for (const { client } of clients) await client.connect()
  change()
  for (const port of Object.values(servers)) await issues(port, after)
  for (const { name, client } of clients) {
    await client.connect()
    t.match(client, { full: 1, resumed: 1, failed: 0 }, `${name}: resumed under the previous key`)
  }
}

/**
 * Offers a session of a peer to a server of this package, which refuses it. If the server has the key, the reason is that
 * the ticket lacks the data that this package requires.
 */
async function refuses (t: Test, peer: number, { keys, port }: Managed & PlainServer, reason: 'bad_ticket' | 'unknown_key'): Promise<void> {
  for (const protocol of PROTOCOLS) {
    const { session } = await connect({ port: peer, protocol })
    t.equal((await connect({ port, protocol, session })).reused, false)
    t.same(Object.entries(keys.stats().rejected[protocol]).filter(([, count]) => count > 0), [[reason, 1]], `${protocol}: ${reason}`)
  }
}

/** Opens a ticket as OpenSSL does: name 16, IV 16, the session in AES-CBC, HMAC-SHA256 of all that. */
function opens ({ aesKey = Buffer.alloc(0), hmacKey = Buffer.alloc(0) }: SourceKey, ticket: Buffer): boolean {
  const mac = createHmac('sha256', hmacKey).update(ticket.subarray(0, -32)).digest()
  if (!mac.equals(ticket.subarray(-32))) return false
  const decipher = createDecipheriv(`aes-${aesKey.length * 8}-cbc`, aesKey, ticket.subarray(16, 32))
  const session = Buffer.concat([decipher.update(ticket.subarray(32, -32)), decipher.final()])
  return session[0] === 0x30
}

/** Which keys of a file, as its source gives them, open the tickets that a peer makes. */
async function openers (peer: number, path: string, format: KeyFormat): Promise<string[]> {
  const { keys = [] } = await new FileSource(path, format, false).load() ?? {}
  const found = await Promise.all(PROTOCOLS.map(async (protocol) => {
    const { session = Buffer.alloc(0) } = await connect({ port: peer, protocol })
    return keys.filter((key) => opens(key, sessionTicket(session))).map(({ name }) => name.toString('hex', 0, 4))
  }))
  return found.flat()
}

async function issuers (...ports: number[]): Promise<Array<string | undefined>> {
  return (
    await Promise.all(
      PROTOCOLS.map(async (protocol) => await Promise.all(ports.map(async (port) => await issuerAt(port, protocol))))
    )
  ).flat()
}

for (const [format, half] of [['nginx80', 32], ['nginx48', 16]] as const) {
  t.test(`nginx and this package, ${format}: both use keys from this package, across a reload`, async (t) => {
    const [old, first, second] = [randomKey(undefined, half), randomKey(undefined, half), randomKey(undefined, half)]
    const directives = ['a', 'b'].map((name) => `ssl_session_ticket_key DIRECTORY/${name};`).join(' ')
    const files = (...keys: TicketKey[]): Record<string, Buffer> =>
      Object.fromEntries(keys.map((key, index) => ['ab'.charAt(index), serializeKeys([key], format)]))
    const { ports: [peer = 0], directory, reload } = await nginx(t, [directives], files(first, old))
    const path = t.testdir({ keys: files(first, old) }) + '/keys'
    const own = await serve(t, { source: { type: 'directory', path, format } })
    t.same(await issuers(peer, own.port), Array(4).fill(idOf(first)), 'both issue under the first file')
    await keepSessions(t, { nginx: peer, 'this package': own.port }, idOf(second), () => {
      for (const [name, data] of Object.entries(files(second, first))) {
        for (const place of [directory, path]) put(join(place, name), data)
      }
      reload()
    })
    t.same(await openers(peer, join(path, 'a'), format), [idOf(second), idOf(second)])
    await refuses(t, peer, own, 'bad_ticket')
    await refuses(t, peer, await serve(t), 'unknown_key')
  })
}

for (const [bytes, half] of [[80, 32], [48, 16]] as const) {
  t.test(`HAProxy and this package, ${bytes} bytes per key: both use one file, across a reload`, async (t) => {
    // One more than it wants, so that the last but one is not the second as well.
    const keys = Array.from({ length: HAPROXY_MIN_KEYS + 2 }, () => randomKey(undefined, half))
    const [first, second] = keys.slice(-3, -1).map(idOf) as [string, string]
    const {
      ports: [peer = 0],
      directory,
      reload
    } = await haproxy(t, ['tls-ticket-keys DIRECTORY/keys'], { keys: serializeKeys(keys.slice(0, -1), 'haproxy') })
    const path = join(directory, 'keys')
    const own = await serve(t, { source: { type: 'file', path, format: 'haproxy' } })
    t.same(await issuers(peer, own.port), Array(4).fill(first), 'both issue under the last key but one')
    await keepSessions(t, { HAProxy: peer, 'this package': own.port }, second, () => {
      put(path, serializeKeys(keys.slice(1), 'haproxy'))
      reload()
    })
    t.same(await openers(peer, path, 'haproxy'), [second, second])
    await refuses(t, peer, own, 'bad_ticket')
    await refuses(t, peer, await serve(t), 'unknown_key')
  })
}

t.test('this package reads keys that were made for nginx and HAProxy without it', async (t) => {
  const random = (bytes: number): Buffer => randomBytes(bytes)
  for (const [format, data] of [['nginx80', random(80)], ['nginx48', random(48)]] as const) {
    const { ports: [peer = 0], directory } = await nginx(t, ['ssl_session_ticket_key DIRECTORY/ticket.key;'], { 'ticket.key': data })
    const path = join(directory, 'ticket.key')
    const own = await serve(t, { source: { type: 'file', path, format } })
    const id = await issuerAt(own.port)
    t.same(await openers(peer, path, format), [id, id], 'its key decrypts their tickets')
    await refuses(t, peer, own, 'bad_ticket')
  }
  for (const bytes of [80, 48]) {
    const lines = Array.from({ length: 3 }, () => `${random(bytes).toString('base64')}\n`).join('')
    const { ports: [peer = 0], directory } = await haproxy(t, ['tls-ticket-keys DIRECTORY/keys'], { keys: Buffer.from(lines) })
    const path = join(directory, 'keys')
    const own = await serve(t, { source: { type: 'file', path, format: 'haproxy' } })
    const id = await issuerAt(own.port)
    t.same(await openers(peer, path, 'haproxy'), [id, id], 'its key decrypts their tickets')
    await refuses(t, peer, own, 'bad_ticket')
  }
})

t.test('with the other layout of the same bytes, the key is found by its name but decrypts no ticket', async (t) => {
  const data = randomBytes(48)
  const { ports: [peer = 0], directory } = await nginx(t, ['ssl_session_ticket_key DIRECTORY/ticket.key;'], { 'ticket.key': data })
  const path = join(directory, 'ticket.key')
  t.same(await openers(peer, path, 'node48'), [])
  t.equal((await openers(peer, path, 'nginx48')).length, 2)
  await refuses(t, peer, await serve(t, { source: { type: 'file', path, format: 'node48' } }), 'bad_ticket')
})
