import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { serializeKeys } from '../../lib/keys/formats/index.js'
import { type TicketKey } from '../../lib/keys/key.js'
import { SingleUseClient } from '../helpers/client.js'
import { randomKey, updateMountedSecret } from '../helpers/keys.js'
import { serve } from '../helpers/managed.js'
import { until } from '../helpers/process.js'
import { closeAll } from '../helpers/server.js'
import { handles, issues } from '../helpers/file-server.js'

t.teardown(closeAll)

/** Long enough for a busy machine. Only a failing test waits this long. */
const NOTICE_TIMEOUT_MS = 30_000

t.test('after a thousand Kubernetes swaps of ..data, the right keys are loaded and no handle leaks', { timeout: 110_000 }, async (t) => {
  const directory = t.testdir()
  const key = (): TicketKey => randomKey({ notBefore: Date.now() - 1000, issueUntil: Date.now() + 1e6, acceptUntil: Date.now() + 2e6 })
  const old = randomKey({ notBefore: -Infinity, issueUntil: 1000, acceptUntil: Infinity })
  const files = (issuing: TicketKey): Record<string, Buffer> => ({
    now: serializeKeys([issuing], 'json'),
    old: serializeKeys([old], 'json')
  })
  updateMountedSecret(directory, files(key()))
  const served = await serve(t, { source: { type: 'directory', path: directory } })
  const single = await serve(t, { source: { type: 'file', path: join(directory, 'now') } })
  const client = new SingleUseClient({ port: served.port })
  for (let i = 0; i < 2; i++) {
    const next = key()
    updateMountedSecret(directory, files(next))
    await issues(t, served, next, 'directory')
    await issues(t, single, next, 'file')
  }
  const before = handles()
  let swaps = 0
  for (let next = key(); swaps < 1000; next = key()) {
    updateMountedSecret(directory, files(next))
    if (swaps % 50 === 0) await client.connect()
    await sleep(swaps++ % 5)
    if (swaps === 1000) await issues(t, served, next, 'the last swap: directory')
    if (swaps === 1000) await issues(t, single, next, 'the last swap: file')
  }
  t.equal(client.failed, 0)
  // Sockets that are still closing count as open.
  await until(() => handles().open <= before.open, NOTICE_TIMEOUT_MS)
  t.equal(handles().watches, before.watches)
  t.same(readdirSync(directory).length, 4, 'two links, ..data, and its target')
  const { reloads } = served.keys.stats()
  t.comment(`reloads in ${swaps} swaps: ${JSON.stringify(reloads)}, file: ${JSON.stringify(single.keys.stats().reloads)}`)
  await served.keys.close()
  await single.keys.close()
  await until(() => handles().watches === 0, NOTICE_TIMEOUT_MS)
})
