import { randomBytes } from 'node:crypto'
import t from 'tap'
import { createTicketKeys } from '../../lib/index.js'
import type { KeySource, SourceKey } from '../../lib/index.js'
import { addon } from '../../lib/native/binding.js'
import type { NativeManager } from '../../lib/native/types.js'
import { StaticSource } from '../../lib/sources/static.js'
import { runModule } from '../helpers/process.js'
import { heldKeys } from '../helpers/leak-checks.js'

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

/** Reports whether key memory is locked, and the warnings. Nothing but the limit of the process prevents locking. */
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
  // The limit does not apply to root with CAP_IPC_LOCK. setpriv removes this capability.
  const asUser = process.getuid?.() === 0 ? ['setpriv', '--bounding-set', '-ipc_lock', '--inh-caps', '-ipc_lock'] : []
  const { exit, next } = runModule(HOLDER, { execPath: 'prlimit', execArgv: ['--memlock=0:0', ...asUser, process.execPath] })
  const { locked, warnings, reused } = await next() as { locked: boolean[], warnings: string[], reused: boolean }
  t.same(locked, [false, false])
  t.match(warnings, [/could not be locked in memory.*RLIMIT_MEMLOCK/, /could not be locked in memory.*RLIMIT_MEMLOCK/])
  t.equal(reused, true)
  t.match(await exit, { code: 0 })
})
