import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import ticketKeys from '../../lib/index.js'
import type { TicketKeys } from '../../lib/index.js'
import { encodeBase64 } from '../../lib/keys/base64.js'
import type { TicketKeysOptions } from '../../lib/config/options.js'
import { FileSource } from '../../lib/sources/watched-files.js'
import { MemorySource } from '../../lib/sources/memory.js'
import { SecretSource } from '../../lib/sources/secret.js'
import { StaticSource } from '../../lib/sources/static.js'
import { serverCert } from '../helpers/certs.js'
import { connect, flipBit, PROTOCOLS } from '../helpers/client.js'
import { LeakDetector } from '../helpers/leaks.js'
import { heldKeys, nothingLeaks, whole } from '../helpers/leak-checks.js'

const HALF = 32

function learn (secrets: LeakDetector, handle: number): void {
  for (const { id, aesKey, hmacKey } of heldKeys(handle)) {
    secrets.add(`AES key of ${id}`, aesKey)
    secrets.add(`HMAC key of ${id}`, hmacKey)
  }
}

/** How to run a source. */
interface Work {
  options: TicketKeysOptions
  /** gets the keys that the manager holds */
  secrets: LeakDetector
  /** whether to inspect the request too, and with it the whole application, which takes a second */
  deep?: boolean
  /** runs between the handshakes and the end; default: `rotate()` */
  change?: (manager: TicketKeys) => Promise<unknown>
}

/** All output of a server with managed keys, by its origin. */
async function everythingSaid (
  t: Test, { options, secrets, deep = true, change = (manager) => manager.rotate() }: Work
): Promise<Map<string, string>> {
  const said = new Map<string, string>()
  const logged: string[] = []
  const { key, cert } = await serverCert()
  const app = Fastify({ https: { key, cert }, logger: { level: 'trace', stream: { write (line: string) { logged.push(line) } } } })
  t.teardown(async () => { await app.close() })
  await app.register(ticketKeys, { environment: false, ...options })
  const manager = app.ticketKeys as TicketKeys
  const events: unknown[] = []
  for (const name of ['rotation', 'reload', 'reload-error', 'stale'] as const) {
    manager.on(name, (...args: unknown[]) => {
      events.push([name, ...args])
    })
  }
  app.get('/', async (request) => {
    if (deep) said.set('request', whole(request))
    said.set('session', whole(request.tlsSession))
    return request.tlsSession
  })
  app.get('/session', async (request) => request.tlsSession)
  await app.listen({ port: 0, host: '127.0.0.1' })
  learn(secrets, manager.handle)

  const { port } = app.server.address() as AddressInfo
  for (const protocol of PROTOCOLS) {
    const { session } = await connect({ port, protocol, request: '/session' })
    await connect({ port, protocol, session: flipBit(session as Buffer, -1), request: '/session' })
    const { reused, body } = await connect({ port, protocol, session, request: '/session' })
    t.ok(reused)
    said.set(`answer over ${protocol}`, body)
  }
  await connect({ port, timeout: 60_000 })
  said.set('what a change gives', whole(await change(manager).catch((error: unknown) => error)))
  learn(secrets, manager.handle)
  for (const [where, accept] of [
    ['/metrics', 'text/plain'],
    ['/metrics', 'application/openmetrics-text'],
    ['/metrics/ticket-keys', '*/*']
  ] as const) {
    const { statusCode, body } = await app.inject({ url: where, headers: { accept } })
    t.equal(statusCode, 200)
    said.set(`${where} as ${accept}`, body)
  }
  for (const [name, value] of Object.entries({ status: manager.status(), stats: manager.stats(), events, manager, plugin: ticketKeys })) {
    said.set(name, whole(value))
  }
  for (const [name, value] of Object.entries({ status: manager.status(), stats: manager.stats(), manager, events })) {
    said.set(`${name} as JSON`, JSON.stringify(value))
  }
  const value: unknown = manager
  said.set('manager as text', String(value))
  await app.close()
  said.set('a closed manager', whole(manager))
  said.set('its errors', whole([await manager.rotate().catch(String), await manager.reload().catch(String)]))
  said.set('log', logged.join(''))
  t.ok(logged.length > 10)
  return said
}

t.test('memory source', async (t) => {
  const secrets = new LeakDetector()
  nothingLeaks(t, secrets, await everythingSaid(t, { options: {}, secrets }))

  const source = new MemorySource(3_600_000, 7_200_000)
  for (const { aesKey, hmacKey } of source.load(Date.now()).keys) {
    secrets.add('AES key', aesKey as Buffer)
    secrets.add('HMAC key', hmacKey as Buffer)
  }
  nothingLeaks(t, secrets, new Map([['source', whole(source)]]))
})

t.test('static source', async (t) => {
  const secrets = new LeakDetector()
  const keys = [randomBytes(80), randomBytes(48), { name: randomBytes(16), aesKey: randomBytes(32), hmacKey: randomBytes(32) }]
  const source = new StaticSource(keys)
  nothingLeaks(t, secrets, await everythingSaid(t, { options: { source: { type: 'static', keys } }, secrets }))
  t.equal(secrets.size, 3 * 2 * 3)
  nothingLeaks(t, secrets, new Map([['source', whole(source)]]))
})

for (const form of ['string', 'Buffer'] as const) {
  t.test(`secret source, the secret as a ${form}`, async (t) => {
    const secrets = new LeakDetector()
    const bytes = Buffer.from(randomBytes(HALF).toString('base64'))
    const previous = randomBytes(32)
    secrets.add('secret', bytes)
    secrets.add('previous secret', previous)
    const secret = form === 'string' ? bytes.toString() : bytes
    nothingLeaks(
      t,
      secrets,
      await everythingSaid(t, {
        options: { source: { type: 'secret', secret, previousSecrets: [previous] } },
        secrets,
        deep: form === 'string'
      })
    )
    const source = new SecretSource([bytes, previous], { rotationInterval: 3_600_000, ticketLifetime: 7_200_000, tls12Tickets: true })
    nothingLeaks(t, secrets, new Map([['source', whole(source)]]))
  })
}

/** A key file and what of it is secret, in the format of that name. */
function keyFile (format: 'nginx80' | 'haproxy' | 'json', secrets: LeakDetector): Buffer {
  const keys = [0, 1, 2].map(() => randomBytes(80))
  for (const key of keys) secrets.add('file', key.subarray(16))
  switch (format) {
    case 'nginx80': return Buffer.concat(keys)
    case 'haproxy': return Buffer.concat(keys.flatMap((key) => [encodeBase64(key), Buffer.from('\n')]))
    case 'json': return Buffer.from(JSON.stringify({
      version: 1,
      keys: keys.map((key, index) => ({
        name: key.toString('hex', 0, 16),
        aesKey: key.toString('base64', 16, 48),
        hmacKey: key.toString('base64', 48),
        notBefore: index === 0 ? null : '2120-01-31T13:00:00.000Z',
        issueUntil: null,
        acceptUntil: null
      }))
    }))
  }
}

async function brokenFiles (t: Test, format: Parameters<typeof keyFile>[0], path: string): Promise<void> {
  const secrets = new LeakDetector()
  writeFileSync(path, keyFile(format, secrets))
  const good = keyFile(format, secrets)
  const change = async (manager: TicketKeys): Promise<unknown> => {
    const errors: unknown[] = []
    // Cut in the middle of a key; a wrong character in one; each key twice.
    for (const bad of [
      good.subarray(0, good.length - 30),
      Buffer.concat([good.subarray(0, 60), Buffer.from('"?"'), good.subarray(60)]),
      Buffer.concat([good, good])
    ]) {
      writeFileSync(path, bad)
      const [event] = await Promise.all([
        once(manager, 'reload-error'),
        manager.reload().catch((error: unknown) => errors.push(error))
      ])
      errors.push(event)
    }
    t.equal(errors.length, 6)
    writeFileSync(path, good)
    await manager.reload()
    learn(secrets, manager.handle)
    return errors
  }
  const before = secrets.size
  const said = await everythingSaid(t, { options: { source: { type: 'file', path, format } }, secrets, deep: false, change })
  // Of three keys: the beginning of one half and the end of the other were known.
  t.equal(secrets.size, before + 2 * 3 * 4, 'the keys of both files were loaded')
  t.match(said.get('log'), /the last good keys stay/)
  said.set('source', whole(new FileSource(path, format, false)))
  nothingLeaks(t, secrets, said)
}

t.test('file source: good files, then malformed files', async (t) => {
  const directory = t.testdir()
  await Promise.all((['nginx80', 'haproxy', 'json'] as const).map((format) => brokenFiles(t, format, join(directory, format))))
})
