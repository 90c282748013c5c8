import {
  closeSync, openSync, renameSync,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeSync
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { serializeKeys } from '../../lib/keys/formats/index.js'
import { ACCEPTS, type TicketKey } from '../../lib/keys/key.js'
import type { TicketKeysOptions } from '../../lib/config/options.js'
import { FileSource } from '../../lib/sources/watched-files.js'
import { connect, SingleUseClient } from '../helpers/client.js'
import { idOf, issuerAt, randomKey, renameKeys, writeKeys } from '../helpers/keys.js'
import { serve, type Managed } from '../helpers/managed.js'
import { until } from '../helpers/process.js'
import { closeAll, type PlainServer } from '../helpers/server.js'
import { issues } from '../helpers/file-server.js'

t.teardown(closeAll)

/** Long enough for a busy machine. Only a failing test waits this long. */
const NOTICE_TIMEOUT_MS = 30_000

interface Served extends Managed, PlainServer {
  path: string
  /** the keys in the file at first */
  keys0: TicketKey[]
}

/** A server over a file of two keys. */
async function serveFile (t: Test, options: TicketKeysOptions = {}): Promise<Served> {
  const path = join(t.testdir(), 'tickets.key')
  const keys0 = [randomKey(), randomKey(ACCEPTS)]
  writeKeys(path, keys0)
  return { ...await serve(t, { source: { type: 'file', path, format: 'nginx80' }, ...options }), path, keys0 }
}

t.test('a file that is replaced by a rename is loaded, and sessions resume', async (t) => {
  const served = await serveFile(t)
  const { keys, keys0: [first, second], path, port } = served
  await issues(t, served, first, 'the first key issues')
  t.same(
    keys.status().keys.map(({ id, state }) => [id, state]),
    [first, second].map((key, index) => [idOf(key as TicketKey), index === 0 ? 'current' : 'previous'])
  )
  const client = new SingleUseClient({ port, protocol: 'TLSv1.3' })
  await client.connect()
  for (let i = 0, old = [...served.keys0]; i < 5; i++) {
    const next = randomKey()
    renameKeys(path, old = [next, ...old])
    await issues(t, served, next, 'the new key issues')
    await client.connect()
  }
  t.match(client, { full: 1, resumed: 5, failed: 0 })
  t.match(keys.stats(), { rotations: 5, reloads: { success: 5, unchanged: 0, error: 0 } })
  t.same(served.log.of('error'), [])
  t.same(served.log.of('warn'), [])
})

t.test('a file that is written in place and in pieces is loaded when it is complete', async (t) => {
  const served = await serveFile(t)
  const { keys, path, port } = served
  const next = [randomKey(), randomKey(ACCEPTS), randomKey(ACCEPTS)]
  const data = serializeKeys(next, 'nginx80')
  const names: unknown[] = []
  keys.on('reload', () => { names.push(keys.status().keys.map(({ id }) => id)) })
  // Each piece is a list of keys by itself: half of the file could be taken for all of it.
  const file = openSync(path, 'w')
  let slowest = 0
  for (const offset of [0, 80, 160]) {
    const began = performance.now()
    writeSync(file, data, offset, 80)
    await sleep(100)
    slowest = Math.max(slowest, performance.now() - began)
  }
  closeSync(file)
  await issues(t, served, next[0], 'the first key of the new list issues')
  await until(() => keys.status().keys.length === 3, NOTICE_TIMEOUT_MS)
  // On a machine so busy that the pieces were further apart than a file needs to settle, the list may have grown step by step.
  t.comment(`pieces up to ${Math.round(slowest)} ms apart`)
  t.same(names, slowest < 240 ? [next.map(idOf)] : names)
  t.equal(keys.stats().reloads.error, 0)
  t.equal(await issuerAt(port), idOf(next[0] as TicketKey))
})

t.test('a file may disappear and return: the last good keys stay in use', async (t) => {
  const served = await serveFile(t)
  const { keys, keys0: [first], log, path, port } = served
  unlinkSync(path)
  await until(() => keys.status().lastError !== null, NOTICE_TIMEOUT_MS)
  t.match(keys.status().lastError, `${path} can't be read: ENOENT`)
  await issues(t, served, first, 'without the file')
  const next = randomKey()
  writeKeys(path, [next, ...served.keys0])
  const client = new SingleUseClient({ port })
  await client.connect()
  await issues(t, served, next, 'the file is back')
  t.equal(keys.status().lastError, null)
  await client.connect()
  t.match(client, { full: 1, resumed: 1 })
  t.equal(log.of('error').length, 1, 'logged once')
  t.ok(keys.stats().reloads.error >= 1)
})

t.test('a file that is missing for a moment is not an error', async (t) => {
  const served = await serveFile(t)
  const { keys, path } = served
  const next = randomKey()
  for (let i = 0; i < 5; i++) {
    unlinkSync(path)
    await sleep(20)
    writeKeys(path, [i < 4 ? randomKey() : next])
  }
  await issues(t, served, next, 'the last one')
  t.equal(keys.stats().reloads.error, 0)
})

t.test('new content with the same size and time is noticed', async (t) => {
  const served = await serveFile(t, { environment: false })
  const { path } = served
  const { mtime, size, ino } = statSync(path)
  const next = [randomKey(), randomKey(ACCEPTS)]
  writeKeys(path, next)
  utimesSync(path, mtime, mtime)
  t.match(statSync(path), { mtime, size, ino })
  await issues(t, served, next[0], 'the new key issues')
})

t.test('a file with unchanged content is not a reload', async (t) => {
  const { keys, path, keys0 } = await serveFile(t)
  const before = keys.status()
  writeKeys(path, keys0)
  t.equal(await keys.reload(), 'unchanged')
  renameKeys(path, keys0)
  t.equal(await keys.reload(), 'unchanged')
  t.match(keys.stats(), { rotations: 0, reloads: { success: 0, unchanged: 2, error: 0 } })
  t.same(keys.status().keys, before.keys)
})

t.test('a symbolic link: a new target, and new content of the target, are loaded', async (t) => {
  const directory = t.testdir({ link: {}, a: {}, b: {} })
  const keys = [randomKey(), randomKey(), randomKey()] as const
  writeKeys(join(directory, 'a/key'), [keys[0]])
  writeKeys(join(directory, 'b/key'), [keys[1]])
  const path = join(directory, 'link/key')
  symlinkSync('../a/key', path)
  // There is nothing to be seen of the last one in the directory of the link.
  const served = await serve(t, { source: new FileSource(path, 'nginx80', false, { pollInterval: 500 }) })
  await issues(t, served, keys[0], 'the first target')
  symlinkSync('../b/key', `${path}.new`)
  renameSync(`${path}.new`, path)
  await issues(t, served, keys[1], 'the second target')
  renameKeys(join(directory, 'b/key'), [keys[2]])
  await issues(t, served, keys[2], 'what came in its place')
})

t.test('a directory: the files in name order make one list, without dot files', async (t) => {
  const directory = t.testdir()
  const [b, a, c] = [randomKey(), randomKey(), randomKey()]
  writeKeys(join(directory, 'b'), [b])
  writeKeys(join(directory, 'c'), [c])
  writeKeys(join(directory, '.a'), [a])
  const served = await serve(t, { source: { type: 'directory', path: directory, format: 'nginx80' } })
  const ids = (): string[] => served.keys.status().keys.map(({ id }) => id)
  t.same(ids(), [b, c].map(idOf))
  await issues(t, served, b, 'the first of them')
  renameSync(join(directory, '.a'), join(directory, 'a'))
  await issues(t, served, a, 'one before it')
  t.same(ids(), [a, b, c].map(idOf))
  const { session } = await connect({ port: served.port })
  unlinkSync(join(directory, 'a'))
  await issues(t, served, b, 'gone again')
  t.notOk((await connect({ port: served.port, session })).reused)
  t.match(served.keys.stats(), { rejected: { 'TLSv1.3': { unknown_key: 1 } }, reloads: { error: 0 } })
})
