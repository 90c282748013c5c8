import { generateKeyPairSync, randomBytes } from 'node:crypto'
import t from 'tap'
import { Clock } from '../../lib/util/clock.js'
import { shareTicketKeys } from '../../lib/cluster.js'
import type { ShareOptions } from '../../lib/cluster.js'
import { importPublic, exportPublic, makeKeyPair, open, seal } from '../../lib/cluster-ipc/sealed-box.js'
import { createTicketKeys } from '../../lib/create.js'
import type { ManagerOptions } from '../../lib/create.js'
import type { SourceKey } from '../../lib/keys/key.js'
import type { KeySource, SourceKeys } from '../../lib/sources/key-source.js'
import { connect } from '../helpers/client.js'
import { LogCollector, manage } from '../helpers/managed.js'
import { runModule } from '../helpers/process.js'
import { closeAll, plainHttps } from '../helpers/server.js'

t.teardown(closeAll)

const HOUR = 3_600_000

t.test('shareTicketKeys names every wrong option, and then announces no keys to workers', async (t) => {
  for (const [options, message] of [
    [{ rotationInterval: 'soon', ticketLifetime: 0 }, /rotationInterval must be .*; ticketLifetime must be/],
    [{ rotationInterval: '1s', ticketLifetime: '1h' }, /rotationInterval is too short for ticketLifetime/],
    [{ keys: 3 }, /keys is not an option/],
    [{ log: 'here', environment: true }, /log must have the functions.*environment/],
    [7, /the options must be an object/],
    [{ source: { type: 'secret', secret: 'short' } }, /source.secret/]
  ] as unknown as Array<[ShareOptions, RegExp]>) {
    t.throws(() => shareTicketKeys(options), { code: 'FST_TICKET_KEYS_OPTIONS', message })
  }
  t.equal(process.env['FASTIFY_TICKET_KEYS_PRIMARY'], undefined, 'no keys were announced to workers')
})

t.test('shareTicketKeys reads the environment, and leaves the secrets there for the workers', async (t) => {
  const secret = randomBytes(32).toString('base64')
  Object.assign(process.env, { TICKET_KEYS_SECRET: secret, TICKET_KEYS_ROTATION_INTERVAL: '10m' })
  const shared = shareTicketKeys({ source: { type: 'memory' } })
  t.teardown(async () => { await shared.close() })
  t.equal(process.env['TICKET_KEYS_SECRET'], secret)
  Reflect.deleteProperty(process.env, 'TICKET_KEYS_SECRET')
  Reflect.deleteProperty(process.env, 'TICKET_KEYS_ROTATION_INTERVAL')
  // Keys that are made in memory are there at once.
  const { keys, current, nextRotation, workers, memoryLocked } = shared.status()
  t.same([keys.map(({ state }) => state), current, workers], [['current', 'next', 'next', 'next'], keys[0]?.id, 0])
  t.type(memoryLocked, 'boolean')
  t.equal((keys[1]?.issueUntil ?? 0) - (keys[1]?.notBefore ?? 0), 600_000)
  t.equal(nextRotation, keys[1]?.notBefore)

  t.throws(() => shareTicketKeys(), { code: 'FST_TICKET_KEYS_OPTIONS', message: /called already/ })
  await shared.rotate()
  t.equal(shared.status().current, keys[1]?.id)
  await shared.close()
  t.same(shared.status().keys, [])
  await t.rejects(shared.rotate(), { code: 'FST_TICKET_KEYS_CLOSED' })
  const data = { TICKET_KEYS_SECRET: secret, TICKET_KEYS_ROTATION_INTERVAL: '20m' }
  const again = shareTicketKeys({ environment: { data } })
  await again.ready
  await t.rejects(again.rotate(), { code: 'FST_TICKET_KEYS_ROTATE' }, 'the source from the variable')
  t.teardown(async () => { await again.close() })
  t.same(data, { TICKET_KEYS_SECRET: secret, TICKET_KEYS_ROTATION_INTERVAL: '20m' }, 'from another environment too')
  const [, next] = again.status().keys
  t.equal((next?.issueUntil ?? 0) - (next?.notBefore ?? 0), 1_200_000)
  await again.close()
})

/** A source of the test's own, with what it needs. */
function source (members: Partial<KeySource>): KeySource {
  return { type: 'store', load: () => ({ keys: [key()], timed: true }), ...members }
}

function key (): SourceKey {
  return {
    name: randomBytes(16),
    aesKey: randomBytes(32),
    hmacKey: randomBytes(32),
    notBefore: 0,
    issueUntil: Infinity,
    acceptUntil: Infinity
  }
}

t.test('shareTicketKeys takes any source, returns at once, and is ready when the source has given keys', async (t) => {
  let answer = (_keys: SourceKeys): void => {}
  const shared = shareTicketKeys({ source: source({ load: () => new Promise((resolve) => { answer = resolve }) }) })
  t.teardown(async () => { await shared.close() })
  t.equal(shared.status().current, null)
  const rotated = shared.rotate()
  const first = key()
  const id = first.name.toString('hex', 0, 4)
  answer({ keys: [first], timed: true })
  await shared.ready
  t.equal(shared.status().current, id)
  await t.rejects(rotated, { code: 'FST_TICKET_KEYS_ROTATE' }, 'ready waited for the keys')
  const reloaded = shared.reload()
  await new Promise(setImmediate)
  const second = key()
  answer({ keys: [second], timed: true })
  t.equal(await reloaded, 'success')
  t.equal(shared.status().current, second.name.toString('hex', 0, 4))
  await shared.close()
  await t.rejects(shared.reload(), { code: 'FST_TICKET_KEYS_CLOSED' })
})

t.test('if the source gives no keys, ready rejects, the log gives the reason, and keys can be shared again', async (t) => {
  for (const load of [() => { throw new Error('store down') }, async () => { throw new Error('store down') }, () => null]) {
    const log = new LogCollector()
    const shared = shareTicketKeys({ log, source: source({ load }) })
    await t.rejects(shared.ready, { message: /store down|gave no keys/ })
    t.match(log.of('error'), [/^the cluster primary has no ticket keys to share: .*(store down|gave no keys)/])
    t.equal(process.env['FASTIFY_TICKET_KEYS_PRIMARY'], undefined, 'no keys are announced to workers')
    await t.rejects(shared.rotate(), 'ready does not wait forever')
  }
})

t.test('close() before the first keys arrive erases them, and logs nothing', async (t) => {
  const log = new LogCollector()
  const keys = [key()]
  let answer = (): void => {}
  const shared = shareTicketKeys({
    log,
    source: source({
      load: () =>
        new Promise((resolve) => {
          answer = () => resolve({ keys, timed: true })
        })
    })
  })
  await shared.close()
  answer()
  await t.rejects(shared.ready, { code: 'FST_TICKET_KEYS_CLOSED' })
  t.equal(keys[0]?.aesKey?.every((byte) => byte === 0), true)
  t.same(log.of('error'), [])
})

t.test('a source whose close() rejects makes close() reject, and does not end the process', async (t) => {
  const close = async (): Promise<void> => { throw new Error('still busy') }
  const shared = shareTicketKeys({ source: source({ close }) })
  await shared.ready
  await t.rejects(shared.close(), { message: 'still busy' })
  t.same(shared.status().keys, [])
  const failing = shareTicketKeys({ log: new LogCollector(), source: source({ load: () => null, close }) })
  await t.rejects(failing.ready, { message: /gave no keys/ }, 'the first error is reported')
  await new Promise(setImmediate)
})

t.test('shareTicketKeys with optional: if the addon does not load, it warns and shares nothing', async (t) => {
  const program = runModule(`
    import { shareTicketKeys } from '../../lib/cluster.js'
    const warnings = []
    const log = { info () {}, error () {}, warn (message) { warnings.push(message) } }
    const shared = shareTicketKeys({ log, optional: true, source: { type: 'static', keys: [Buffer.alloc(80, 7)] } })
    await shared.ready
    const codeOf = async (action) => { try { await action(); return 'nothing' } catch (error) { return error.code } }
    const codes = [await codeOf(() => shared.rotate()), await codeOf(() => shared.reload()), await codeOf(() => shared.close())]
    process.send({ warnings, status: shared.status(), codes, promised: process.env.FASTIFY_TICKET_KEYS_PRIMARY })
    process.disconnect()
  `, { execArgv: ['--no-addons'] })
  t.teardown(program.stop)
  const { warnings, ...rest } = await program.next() as { warnings: string[] }
  t.match(warnings, [/not managed.*option optional.*--allow-addons/])
  t.strictSame(rest, {
    status: { current: null, nextRotation: null, keysEnd: null, keys: [], memoryLocked: true, workers: 0 },
    codes: ['FST_TICKET_KEYS_NOT_BUILT', 'FST_TICKET_KEYS_NOT_BUILT', 'nothing']
  })
})

t.test('a server in the primary gets the shared keys through their handle', async (t) => {
  const shared = shareTicketKeys({ environment: false })
  const keys = await createTicketKeys({ environment: false, source: { type: 'shared', handle: shared.handle } })
  t.teardown(async () => { await keys.close() })
  t.equal(keys.status().current, shared.status().current)
  const far = { environment: false as const, source: { type: 'shared' as const, handle: shared.handle + 2 ** 32 } }
  await t.rejects(createTicketKeys(far), { code: 'FST_TICKET_KEYS_SOURCE', message: /no manager in this process has the handle/ })
  const { server, port } = await plainHttps()
  keys.attach(server)
  const { session } = await connect({ port })
  await shared.rotate()
  t.ok((await connect({ port, session })).reused)
  await shared.close()
  t.notOk((await connect({ port, session })).reused)
  t.ok(keys.status().stale)
})

t.test('shareTicketKeys in a cluster worker is an error that names the right process', async (t) => {
  const { next, exit } = runModule(`
import cluster from 'node:cluster'
import { shareTicketKeys } from '../../lib/cluster.js'
if (cluster.isPrimary) cluster.fork().on('message', (message) => { process.send(message); cluster.disconnect(() => process.disconnect()) })
else try { shareTicketKeys() } catch (error) { process.send([error.code, error.message]) }
`)
  t.match(await next(), ['FST_TICKET_KEYS_OPTIONS', /in the cluster primary, not in a worker; .*PM2.* 'secret', 'file' or 'directory'/])
  await exit
})

t.test('a manager with the source shared warns about options without effect', async (t) => {
  const owner = await createTicketKeys({ environment: false })
  t.teardown(async () => { await owner.close() })
  const log = new LogCollector()
  const source = { type: 'shared', handle: owner.handle } as const
  const silent = await createTicketKeys({ environment: false, source, log })
  t.same(log.of('warn'), [])
  const told = await createTicketKeys({ environment: false, source, log, ticketLifetime: '1h', tls12Tickets: false, metrics: false })
  t.match(log.of('warn'), [/^ticketLifetime, tls12Tickets .*no effect/])
  t.equal(await told.reload(), 'unchanged')
  await Promise.all([silent.close(), told.close()])
  t.equal(owner.status().keys.length, 4, 'the owner keeps its keys')
  for (const handle of ['1', 1.5, undefined]) {
    const options = { environment: false, source: { type: 'shared', handle } } as unknown as ManagerOptions
    await t.rejects(createTicketKeys(options), {
      code: 'FST_TICKET_KEYS_OPTIONS',
      message: /source.handle must be the handle of a manager/
    })
  }
})

t.test('status() of a manager with the source shared follows the clock, even if the owner has not looked at it', async (t) => {
  const owner = await manage(t)
  const clock = new Clock()
  const { keys } = await manage(t, { source: { type: 'shared', handle: owner.keys.handle } }, clock)
  const { keys: all } = owner.keys.status()
  t.same(keys.status().keys, all)
  clock.step(3 * HOUR)
  t.same(
    keys.status().keys.map(({ id, state }) => [id, state]),
    ['previous', 'previous', 'current'].map((state, index) => [all[index + 1]?.id, state]),
    'the first key has expired'
  )
  t.same(owner.keys.status().keys, all)
})

t.test('only the recipient opens a sealed ring, complete and with the same bound string', async (t) => {
  const [recipient, other] = [makeKeyPair(), makeKeyPair()]
  const plain = randomBytes(300)
  const sealed = seal(plain, importPublic(exportPublic(recipient.publicKey)), 'revision 1')
  t.same(open(sealed, recipient.privateKey, 'revision 1'), plain)
  t.not(seal(plain, recipient.publicKey, 'revision 1').indexOf(sealed.subarray(0, 100)), 0, 'two sealed rings are never equal')
  t.throws(() => open(sealed, other.privateKey, 'revision 1'))
  t.throws(() => open(sealed, recipient.privateKey, 'revision 2'))
  for (const changed of [0, 90, 91, 200, sealed.length - 1]) {
    const bad = Buffer.from(sealed)
    bad[changed] = (bad[changed] as number) ^ 1
    t.throws(() => open(bad, recipient.privateKey, 'revision 1'), `byte ${changed}`)
  }
  for (const length of [0, 91, 107, sealed.length - 1]) t.throws(() => open(sealed.subarray(0, length), recipient.privateKey, 'revision 1'))
  for (const another of [generateKeyPairSync('ed25519'), generateKeyPairSync('ec', { namedCurve: 'P-384' })]) {
    t.throws(() => importPublic(exportPublic(another.publicKey)), { message: 'not a P-256 key' })
  }
})
