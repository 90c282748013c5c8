import { join } from 'node:path'
import t from 'tap'
import { connect, SingleUseClient } from '../helpers/client.js'
import { idOf, issuerAt, randomKey, renameKeys, writeKeys } from '../helpers/keys.js'
import { serve } from '../helpers/managed.js'
import { until } from '../helpers/process.js'
import { closeAll } from '../helpers/server.js'

t.teardown(closeAll)

const NOTICE_TIMEOUT_MS = 30_000

const HOUR = 3_600_000

t.test('a list without times that has not changed for two rotation intervals is stale, and still issues', async (t) => {
  const path = join(t.testdir(), 'key')
  const key = randomKey()
  writeKeys(path, [key])
  const { clock, keys, log, port } = await serve(t, { source: { type: 'file', path, format: 'nginx80' }, rotationInterval: '1h' })
  const events: Array<{ reason: string }> = []
  keys.on('stale', (event) => { events.push(event) })
  clock.step(2 * HOUR - 60_000)
  t.match(keys.status(), { stale: false, staleReason: null })
  t.equal(await keys.reload(), 'unchanged', 'reading the file is not a change')
  clock.step(60_001)
  keys.tick()
  const reason = 'the list of keys has not changed for twice rotationInterval; its key goes on issuing'
  t.match(keys.status(), { stale: true, staleReason: reason, current: idOf(key) })
  t.same(events, [{ reason }])
  t.same(log.of('error'), [`ticket keys are stale: ${reason}`])
  const client = new SingleUseClient({ port })
  for (let i = 0; i < 3; i++) await client.connect()
  t.match(client, { full: 1, resumed: 2 })
  renameKeys(path, [randomKey()])
  await keys.reload()
  t.equal(keys.status().stale, false)
  clock.step(2 * HOUR + 1)
  t.equal(keys.status().stale, true)
  keys.tick()
  t.equal(events.length, 2, 'once each time')
})

t.test('a timetable whose keys have all passed issueUntil is stale: no tickets until new keys arrive', async (t) => {
  const path = join(t.testdir(), 'keys.json')
  const now = Date.now()
  const key = randomKey({ notBefore: now - HOUR, issueUntil: now + HOUR, acceptUntil: now + 3 * HOUR })
  writeKeys(path, [key], 'json')
  const { clock, keys, log, port } = await serve(t, { source: { type: 'file', path } })
  const events: Array<{ reason: string }> = []
  keys.on('stale', (event) => { events.push(event) })
  const { session } = await connect({ port })
  clock.step(HOUR + 60_000)
  const reason = 'no key may issue tickets now: full handshakes only, no new tickets'
  t.match(keys.status(), { stale: true, staleReason: reason, current: null })
  t.equal(await issuerAt(port), undefined)
  t.match(await connect({ port, session }), { reused: true, tickets: { length: 0 } }, 'earlier tickets still resume')
  t.same(events, [{ reason }])
  t.same(log.of('error'), [`ticket keys are stale: ${reason}`])
  const next = randomKey({ notBefore: now, issueUntil: now + 9 * HOUR, acceptUntil: now + 9 * HOUR })
  renameKeys(path, [key, next], 'json')
  await until(() => keys.status().current === idOf(next), NOTICE_TIMEOUT_MS)
  t.equal(await issuerAt(port), idOf(next))
  t.match(await connect({ port, session }), { reused: true, tickets: { length: 1 } })
  t.match(keys.status(), { stale: false, staleReason: null })
})
