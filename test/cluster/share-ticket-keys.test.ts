import { generateKeyPairSync, randomBytes } from 'node:crypto'
import t from 'tap'
import { Clock } from '../../lib/util/clock.js'
import { shareTicketKeys } from '../../lib/cluster.js'
import type { ShareOptions } from '../../lib/cluster.js'
import { importPublic, exportPublic, open, seal } from '../../lib/cluster-ipc/sealed-box.js'
import { createTicketKeys } from '../../lib/create.js'
import type { ManagerOptions } from '../../lib/create.js'
import { connect } from '../helpers/client.js'
import { LogBook, manage } from '../helpers/managed.js'
import { runModule } from '../helpers/process.js'
import { closeAll, plainHttps } from '../helpers/server.js'

t.teardown(closeAll)

const HOUR = 3_600_000

t.test('shareTicketKeys names every wrong option, and refuses a source that needs no sharing', async (t) => {
  for (const [options, message] of [
    [{ rotationInterval: 'soon', ticketLifetime: 0 }, /rotationInterval must be .*; ticketLifetime must be/],
    [{ rotationInterval: '1s', ticketLifetime: '1h' }, /rotationInterval is too short for ticketLifetime/],
    [{ keys: 3 }, /keys is not an option/],
    [{ log: 'here', environment: true }, /log must have the functions.*environment/],
    [7, /the options must be an object/],
    [{ source: { type: 'secret', secret: randomBytes(32) } }, /source must be 'memory'.*'secret' need no keys from the primary/],
    [{ source: { type: 'memory', load: () => null } }, /source must be 'memory'/]
  ] as unknown as Array<[ShareOptions, RegExp]>) {
    t.throws(() => shareTicketKeys(options), { code: 'FST_TICKET_KEYS_OPTIONS', message })
  }
  t.equal(process.env['FASTIFY_TICKET_KEYS_PRIMARY'], undefined, 'nothing was promised to workers')
})

t.test('shareTicketKeys reads the environment and leaves secrets there for the workers', async (t) => {
  const secret = randomBytes(32).toString('base64')
  Object.assign(process.env, { TICKET_KEYS_SECRET: secret, TICKET_KEYS_ROTATION_INTERVAL: '10m' })
  const shared = shareTicketKeys()
  t.teardown(async () => { await shared.close() })
  t.equal(process.env['TICKET_KEYS_SECRET'], secret)
  Reflect.deleteProperty(process.env, 'TICKET_KEYS_SECRET')
  Reflect.deleteProperty(process.env, 'TICKET_KEYS_ROTATION_INTERVAL')
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
  t.teardown(async () => { await again.close() })
  t.same(data, { TICKET_KEYS_SECRET: secret, TICKET_KEYS_ROTATION_INTERVAL: '20m' }, 'of another environment too')
  const [, next] = again.status().keys
  t.equal((next?.issueUntil ?? 0) - (next?.notBefore ?? 0), 1_200_000)
  await again.close()
})

t.test('a server in the primary has the shared keys by their handle', async (t) => {
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

t.test('shareTicketKeys in a cluster worker is an error that says where it belongs', async (t) => {
  const { next, exit } = runModule(`
import cluster from 'node:cluster'
import { shareTicketKeys } from '../../lib/cluster.js'
if (cluster.isPrimary) cluster.fork().on('message', (message) => { process.send(message); cluster.disconnect(() => process.disconnect()) })
else try { shareTicketKeys() } catch (error) { process.send([error.code, error.message]) }
`)
  t.match(await next(), ['FST_TICKET_KEYS_OPTIONS', /in the cluster primary, not in a worker; .*PM2.* 'secret', 'file' or 'directory'/])
  await exit
})

t.test('a manager with the source shared says which of its options have no effect', async (t) => {
  const owner = await createTicketKeys({ environment: false })
  t.teardown(async () => { await owner.close() })
  const log = new LogBook()
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
    await t.rejects(createTicketKeys(options), { code: 'FST_TICKET_KEYS_OPTIONS', message: /source.handle must be the handle of a manager/ })
  }
})

t.test('what a manager with the source shared shows is so by the clock, whether its owner has looked at it or not', async (t) => {
  const owner = await manage(t)
  const clock = new Clock()
  const { keys } = await manage(t, { source: { type: 'shared', handle: owner.keys.handle } }, clock)
  const { keys: all } = owner.keys.status()
  t.same(keys.status().keys, all)
  clock.step(3 * HOUR)
  t.same(keys.status().keys.map(({ id, state }) => [id, state]), ['previous', 'previous', 'current'].map((state, index) => [all[index + 1]?.id, state]), 'the first has expired')
  t.same(owner.keys.status().keys, all)
})

t.test('what is sealed opens for its recipient alone, whole and under what it was bound to', async (t) => {
  const [recipient, other] = [generateKeyPairSync('x25519'), generateKeyPairSync('x25519')]
  const plain = randomBytes(300)
  const sealed = seal(plain, importPublic(exportPublic(recipient.publicKey)), 'revision 1')
  t.same(open(sealed, recipient.privateKey, 'revision 1'), plain)
  t.not(seal(plain, recipient.publicKey, 'revision 1').indexOf(sealed.subarray(0, 100)), 0, 'never the same twice')
  t.throws(() => open(sealed, other.privateKey, 'revision 1'))
  t.throws(() => open(sealed, recipient.privateKey, 'revision 2'))
  for (const changed of [0, 43, 44, 200, sealed.length - 1]) {
    const bad = Buffer.from(sealed)
    bad[changed] = (bad[changed] as number) ^ 1
    t.throws(() => open(bad, recipient.privateKey, 'revision 1'), `byte ${changed}`)
  }
  for (const length of [0, 44, 60, sealed.length - 1]) t.throws(() => open(sealed.subarray(0, length), recipient.privateKey, 'revision 1'))
  t.throws(() => importPublic(exportPublic(generateKeyPairSync('ed25519').publicKey)), 'another kind of key')
})
