import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { inspect } from 'node:util'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import ticketKeys, { createTicketKeys } from '../../lib/index.js'
import type { KeySource, SourceKey, TicketKeys } from '../../lib/index.js'
import { encodeBase64 } from '../../lib/keys/base64.js'
import { addon } from '../../lib/native/binding.js'
import type { NativeManager } from '../../lib/native/types.js'
import type { TicketKeysOptions } from '../../lib/config/options.js'
import { FileSource } from '../../lib/sources/watched-files.js'
import { MemorySource } from '../../lib/sources/memory.js'
import { SecretSource } from '../../lib/sources/secret.js'
import { StaticSource } from '../../lib/sources/static.js'
import { serverCert } from '../helpers/certs.js'
import { connect, flipBit, PROTOCOLS } from '../helpers/client.js'
import { LeakDetector } from '../helpers/leaks.js'
import { runModule } from '../helpers/process.js'

const HALF = 32

/** Everything that Node.js can show of an object, without repeated lines. Most lines of a request are repeated. */
function whole (value: unknown): string {
  const text = inspect(value, { showHidden: true, depth: Infinity, maxStringLength: Infinity })
  return [...new Set(text.split('\n').map((line) => line.trim()))].join('\n')
}

/** The keys that a manager holds now, by the addon's own export, in memory that is not erased. */
function heldKeys (handle: number): Array<{ id: string, aesKey: Buffer, hmacKey: Buffer }> {
  const out = Buffer.alloc(256 * 2 * HALF)
  return new (addon().Manager)(handle).exportKeys(out).map(({ name, keyLength }, index) => {
    const at = index * 2 * HALF
    return {
      id: name.toString('hex', 0, 4),
      aesKey: out.subarray(at, at + keyLength),
      hmacKey: out.subarray(at + HALF, at + HALF + keyLength)
    }
  })
}

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
  const unknown: unknown = manager
  said.set('manager as text', String(unknown))
  await app.close()
  said.set('a closed manager', whole(manager))
  said.set('its errors', whole([await manager.rotate().catch(String), await manager.reload().catch(String)]))
  said.set('log', logged.join(''))
  t.ok(logged.length > 10)
  return said
}

/** Checks that the output contains no secret, and that neither is empty. */
function nothingLeaks (t: Test, secrets: LeakDetector, said: Map<string, string>): void {
  t.ok(secrets.size > 0 && [...said.values()].every((text) => text.length > 0))
  for (const [where, text] of said) t.strictSame(secrets.find(text), [], `${where}, ${text.length} characters`)
}

t.test('the leak detector finds bytes in every encoding', async (t) => {
  const bytes = randomBytes(HALF)
  const secrets = new LeakDetector()
  secrets.add('key', bytes)
  const forms: Record<string, string> = {
    raw: `log: ${bytes.toString('latin1')}`,
    utf8: bytes.toString(),
    hex: bytes.toString('hex'),
    HEX: bytes.toString('hex').toUpperCase().replace(/../g, '$&:'),
    base64: bytes.toString('base64'),
    base64url: `key=${bytes.toString('base64url')}`,
    'base64 after one byte': Buffer.concat([Buffer.from('a'), bytes]).toString('base64'),
    'base64 after two bytes': Buffer.concat([Buffer.from('ab'), bytes]).toString('base64'),
    buffer: inspect(bytes),
    'a buffer, cut short': inspect(Buffer.concat([Buffer.alloc(40), bytes])),
    'typed array': inspect(new Uint8Array(bytes)),
    'buffer in JSON': JSON.stringify({ bytes }),
    'typed array in JSON': JSON.stringify([...bytes], null, 2),
    'in an object': whole({ deep: { deeper: { deepest: new Map([['key', bytes]]) } } }),
    ArrayBuffer: whole(new Uint8Array(bytes).buffer),
    'its beginning': bytes.toString('hex', 0, 9),
    'its end': bytes.toString('base64', HALF - 9)
  }
  for (const [form, text] of Object.entries(forms)) t.not(secrets.find(text).length, 0, form)
  t.strictSame(secrets.find(inspect(randomBytes(50)) + randomBytes(10_000).toString('base64')), [])
})

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

t.test('errors about options say what is wrong with keys and secrets, and never contain them', async (t) => {
  const secrets = new LeakDetector()
  const text = Buffer.from(randomBytes(60).toString('base64'))
  const [random, short] = [randomBytes(80), Buffer.from(randomBytes(12).toString('hex'))]
  for (const [name, bytes] of Object.entries({ text, random: random.subarray(16), short })) secrets.add(name, bytes)
  const wrong: TicketKeysOptions[] = [
    { source: { type: 'static', keys: [text] } },
    { source: { type: 'static', keys: [random, random] } },
    { source: { type: 'static', keys: [random.subarray(1)] } },
    {
      source: {
        type: 'static',
        keys: [{ name: random.subarray(16, 32), aesKey: random.subarray(16, 48), hmacKey: random.subarray(16, 48) }]
      }
    },
    { source: { type: 'secret', secret: short } },
    { source: { type: 'secret', secret: short.toString() } },
    { source: { type: random.toString('base64') } as never },
    { [random.toString('base64', 16)]: 1 },
    ...[
      ['TICKET_KEYS', random.toString('base64', 1)],
      ['TICKET_KEYS', `${random.toString('base64')}!`],
      ['TICKET_KEYS', text.toString()],
      ['TICKET_KEYS_SECRET', short.toString()]
    ].map(([name, value]): TicketKeysOptions => ({ environment: { data: { [name as string]: value } } }))
  ]
  for (const [index, options] of wrong.entries()) {
    const error: unknown = await createTicketKeys({ environment: false, ...options }).catch((error: unknown) => error)
    t.match(error, { code: /^FST_TICKET_KEYS/ }, String(error))
    // What somebody writes where no key belongs is theirs to see.
    if (index === 7) continue
    nothingLeaks(t, secrets, new Map([['error', whole(error)], ['message', String(error)], ['JSON', JSON.stringify(error)]]))
  }
})

function nativeManager (): NativeManager {
  return new (addon().Manager)({
    ticketLifetime: 7_200_000,
    maxClockSkew: 300_000,
    maxSessionAge: 86_400_000,
    tls12Tickets: true,
    bindServerName: true,
    resumeSniCallback: false,
    ticketsPerHandshake: 2,
    sessionIdContext: Buffer.alloc(32, 1)
  })
}

function sourceKey (): Required<SourceKey> {
  return {
    name: randomBytes(16),
    aesKey: randomBytes(32),
    hmacKey: randomBytes(32),
    notBefore: -Infinity,
    issueUntil: Infinity,
    acceptUntil: Infinity
  }
}

function isZero (...buffers: Buffer[]): boolean {
  return buffers.every((buffer) => buffer.every((byte) => byte === 0))
}

t.test('buffers given to the ring are zeroed at once, whether or not the ring accepts them', async (t) => {
  const native = nativeManager()
  const key = sourceKey()
  const copy = Buffer.concat([key.aesKey, key.hmacKey])
  native.setRing([key], [])
  t.ok(isZero(key.aesKey, key.hmacKey))
  t.notOk(isZero(key.name), 'the name is not secret')
  const [held] = heldKeys(native.handle)
  t.same(Buffer.concat([held?.aesKey as Buffer, held?.hmacKey as Buffer]), copy)

  const other = sourceKey()
  const { aesKey, hmacKey, ...withoutBytes } = sourceKey()
  t.throws(() => native.setRing([other, withoutBytes], []), /without bytes/)
  t.ok(isZero(other.aesKey, other.hmacKey))
  t.strictSame(heldKeys(native.handle), [held], 'the ring stays')
  native.setRing([], [])
  t.strictSame(heldKeys(native.handle), [])
})

t.test("a source's buffers are zeroed when its keys are accepted, expired or refused; the caller's buffers are not", async (t) => {
  const given: SourceKey[] = []
  const load = (keys: SourceKey[]): KeySource => ({ type: 'test', load () { given.push(...keys); return { keys, timed: true } } })
  const good = sourceKey()
  const over = { ...sourceKey(), issueUntil: 0, acceptUntil: 1 }
  const manager = await createTicketKeys({ environment: false, source: load([good, over]) })
  t.teardown(async () => { await manager.close() })
  await t.rejects(
    createTicketKeys({
      environment: false,
      source: load([sourceKey(), { ...sourceKey(), aesKey: Buffer.alloc(32, 7) }])
    }),
    { code: 'FST_TICKET_KEYS_WEAK_KEY' }
  )
  t.equal(given.length, 4)
  for (const { aesKey, hmacKey } of given) t.ok(isZero(aesKey as Buffer, hmacKey as Buffer))
  t.equal(heldKeys(manager.handle).length, 1)

  const mine = randomBytes(80)
  const copy = Buffer.from(mine)
  const other = await createTicketKeys({ environment: false, source: { type: 'static', keys: [mine] } })
  await other.close()
  t.same(mine, copy)
  t.strictSame(heldKeys(other.handle), [], 'a closed manager holds no keys')

  const unused = new StaticSource([mine])
  unused.close()
  for (const { aesKey, hmacKey } of unused.load()?.keys ?? []) {
    t.ok(isZero(aesKey as Buffer, hmacKey as Buffer), 'a source that is closed before its first load')
  }
  t.same(mine, copy)
})

/** Says how keys are held, and what was warned of, in a process that nothing but its limits keeps from locking memory. */
const HOLDER = `
  import { shareTicketKeys } from '../../lib/cluster.js'
  import { createTicketKeys } from '../../lib/create.js'
  import { connect } from '../helpers/client.js'
  import { LogCollector } from '../helpers/managed.js'
  import { closeAll, plainHttps } from '../helpers/server.js'

  const log = new LogCollector()
  const keys = await createTicketKeys({ environment: false, log })
  const shared = shareTicketKeys({ environment: false, log })
  const { server, port } = await plainHttps()
  keys.attach(server)
  const { session } = await connect({ port })
  const { reused } = await connect({ port, session })
  const warnings = log.lines.flatMap(({ level, message }) => level === 'warn' ? message : [])
  process.send({ locked: [keys.status().memoryLocked, shared.status().memoryLocked], warnings, reused })
  await Promise.all([keys.close(), shared.close(), closeAll()])
`

t.test('if the system locks no memory, keys still work, and a warning is logged', async (t) => {
  // The limit does not bind root, but for a capability that can be given up.
  const asUser = process.getuid?.() === 0 ? ['setpriv', '--bounding-set', '-ipc_lock', '--inh-caps', '-ipc_lock'] : []
  const { exit, next } = runModule(HOLDER, { execPath: 'prlimit', execArgv: ['--memlock=0:0', ...asUser, process.execPath] })
  const { locked, warnings, reused } = await next() as { locked: boolean[], warnings: string[], reused: boolean }
  t.same(locked, [false, false])
  t.match(warnings, [/could not be locked in memory.*RLIMIT_MEMLOCK/, /could not be locked in memory.*RLIMIT_MEMLOCK/])
  t.equal(reused, true)
  t.match(await exit, { code: 0 })
})
