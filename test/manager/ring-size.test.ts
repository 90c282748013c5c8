import { randomBytes } from 'node:crypto'
import t from 'tap'
import { Clock } from '../../lib/util/clock.js'
import type { TicketKeysOptions } from '../../lib/config/options.js'
import type { SourceKeys } from '../../lib/sources/key-source.js'
import type { SourceKey } from '../../lib/keys/key.js'
import type { StaticKeyParts } from '../../lib/sources/static.js'
import { connect, ticketKeyName } from '../helpers/client.js'
import { manage, serve } from '../helpers/managed.js'
import { closeAll, plainHttps } from '../helpers/server.js'

t.teardown(closeAll)

const MOST = 256
/** How long each of the keys issues, ms: all of them together less than a ticket can live. */
const INTERVAL = 600_000
/** Connections in a row to one ring, and how often the rings take turns. */
const BLOCK = 40
const BLOCKS = 6

/** Keys whose names are text that differs in its last digits, as an operator may choose them. */
function makeKeys (count: number, times: (index: number) => Partial<StaticKeyParts> = () => ({})): StaticKeyParts[] {
  return Array.from({ length: count }, (_, index) => ({
    name: Buffer.from(`session key ${String(index).padStart(4, '0')}`), aesKey: randomBytes(32), hmacKey: randomBytes(32), ...times(index)
  }))
}

function fixed (keys: StaticKeyParts[]): TicketKeysOptions {
  return { source: { type: 'static', keys }, ticketLifetime: '7d', maxSessionAge: '7d' }
}

t.test('each of 256 keys issues in its turn, and each of their tickets is found', async (t) => {
  const start = Date.now() - INTERVAL / 2
  const ring = makeKeys(MOST, (index) => ({ notBefore: start + index * INTERVAL, issueUntil: start + (index + 1) * INTERVAL }))
  const { clock, keys, port } = await serve(t, fixed(ring))
  const sessions: Buffer[] = []
  for (let i = 0; i < MOST; i++) {
    const { session } = await connect({ port, protocol: 'TLSv1.2' })
    sessions.push(session as Buffer)
    clock.step(INTERVAL)
  }
  t.same(sessions.map(ticketKeyName), ring.map(({ name }) => name))
  t.equal(keys.status().current, null, 'the last key has issued')
  for (const session of sessions) {
    if (!(await connect({ port, protocol: 'TLSv1.2', session })).reused) t.fail('not resumed')
  }
  t.match(keys.stats(), {
    issued: { 'TLSv1.2': MOST },
    resumed: { 'TLSv1.2': MOST },
    handshakes: { 'TLSv1.2': { full: MOST, resumed: MOST } }
  })
})

t.test('257 keys are refused', async (t) => {
  await t.rejects(manage(t, fixed(makeKeys(MOST + 1))), /256/)
})

t.test('tickets of the last 256 expired keys differ from tickets of unknown keys', async (t) => {
  const clock = new Clock()
  const end = (): number => clock.now() + INTERVAL
  /** Any number of keys that are all over with the interval; the last issues. */
  const load = (count: number): SourceKeys => ({
    keys: makeKeys(count, () => ({
      name: randomBytes(16),
      notBefore: 0,
      issueUntil: end(),
      acceptUntil: end()
    })) as SourceKey[],
    timed: true
  })
  let count = 1
  const { keys, port } = await serve(t, { source: { type: 'test', load: () => load(count) }, maxSessionAge: '7d' }, plainHttps, clock)
  const issue = async (): Promise<Buffer> => (await connect({ port, protocol: 'TLSv1.2' })).session as Buffer
  const over = async (): Promise<void> => {
    clock.step(INTERVAL)
    await keys.reload()
  }
  const sessions = [await issue()]
  count = MOST - 1
  await over()
  sessions.push(await issue())
  count = 1
  await over()
  for (const session of sessions) await connect({ port, protocol: 'TLSv1.2', session })
  t.match(keys.stats().rejected['TLSv1.2'], { expired_key: 2, unknown_key: 0 }, '256 keys have expired')
  await over()
  for (const session of sessions) await connect({ port, protocol: 'TLSv1.2', session })
  t.match(keys.stats().rejected['TLSv1.2'], { expired_key: 3, unknown_key: 1 }, 'one more key has expired: the first one is forgotten')
})

t.test('a ticket lookup costs the same in a ring of 1 key and of 256 keys', async (t) => {
  const keys = makeKeys(MOST)
  const last = keys.at(-1) as StaticKeyParts
  const rings = await Promise.all(
    [[last], keys].map(async (ring) => ({
      ...(await serve(t, fixed(ring))),
      size: ring.length,
      micros: [] as number[]
    }))
  )
  const { session } = await connect({ port: rings[0]?.port as number, protocol: 'TLSv1.2' })
  for (let block = 0; block <= BLOCKS; block++) {
    for (const { port, micros } of rings) {
      const before = process.cpuUsage()
      for (let i = 0; i < BLOCK; i++) {
        const { reused } = await connect({ port, protocol: 'TLSv1.2', session })
        if (!reused) t.fail('not resumed')
      }
      const { user, system } = process.cpuUsage(before)
      // The first turn warms up.
      if (block > 0) micros.push((user + system) / BLOCK)
    }
  }
  const [one, most] = rings.map(({ micros }) => Math.min(...micros)) as [number, number]
  for (const { size, micros, keys } of rings) {
    const best = Math.round(Math.min(...micros))
    const all = micros.map(Math.round).join(', ')
    t.comment(`${size} keys: ${best} µs of CPU for a resumed connection, client and server (${all})`)
    t.equal(keys.stats().resumed['TLSv1.2'], BLOCK * (BLOCKS + 1))
  }
  // The cost of decrypting with every key would be many times that of one key. Less than that is noise of a busy machine.
  t.ok(most < one * 2.5 && one < most * 2.5, `${Math.round(one)} µs and ${Math.round(most)} µs`)
})
