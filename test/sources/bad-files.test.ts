import { execFileSync } from 'node:child_process'
import { appendFileSync, chmodSync, renameSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { serializeKeys } from '../../lib/keys/formats/index.js'
import { ACCEPTS } from '../../lib/keys/key.js'
import { startTicketKeys } from '../../lib/manager/start.js'
import { resolveOptions, type TicketKeysOptions } from '../../lib/config/options.js'
import { FileSource } from '../../lib/sources/watched-files.js'
import { FileSafety } from '../../lib/sources/file-safety.js'
import { readKeyFile } from '../../lib/sources/read-key-files.js'
import { SingleUseClient } from '../helpers/client.js'
import { idOf, issuerAt, randomKey, writeKeys } from '../helpers/keys.js'
import { LogCollector, manage, serve } from '../helpers/managed.js'
import { until } from '../helpers/process.js'
import { closeAll } from '../helpers/server.js'

t.teardown(closeAll)

const NOTICE_TIMEOUT_MS = 30_000

/** A manager that does not start, and why. */
async function startError (source: NonNullable<TicketKeysOptions['source']>, options: TicketKeysOptions = {}): Promise<unknown> {
  const resolved = resolveOptions({ environment: false, ...options, source })
  return await startTicketKeys(resolved, new LogCollector()).then(() => 'it started', (error: unknown) => error)
}

t.test('a bad file keeps the last good keys, is logged once, counted, and tried again', async (t) => {
  const path = join(t.testdir(), 'tickets.json')
  const good = randomKey()
  writeKeys(path, [good], 'json')
  const served = await serve(t, { source: new FileSource(path, undefined, false, { pollInterval: 100 }) })
  const { keys, log, port } = served
  const errors: Error[] = []
  keys.on('reload-error', (error) => { errors.push(error) })
  const client = new SingleUseClient({ port, protocol: 'TLSv1.3' })
  await client.connect()

  const text = serializeKeys([good], 'json').toString()
  writeFileSync(path, text.replace('"aesKey"', '"aeskey"'))
  // At each poll: were it tried after 1, 2, 4 … s, this would take half a minute.
  await until(() => keys.stats().reloads.error >= 6, 15_000)
  const known = 'name, aesKey, hmacKey, notBefore, issueUntil, acceptUntil'
  const message = `ticket keys: ${path} (json), line 6, column 7: unknown property; known are ${known}`
  t.same(log.of('error'), [`${message}; the last good keys stay (FST_TICKET_KEYS_FORMAT)`])
  t.equal(keys.status().lastError, message)
  t.match(errors[0], { code: 'FST_TICKET_KEYS_FORMAT', message })
  await client.connect()
  t.equal(await issuerAt(port), idOf(good))

  writeFileSync(path, text.replace(/"aesKey": ".*"/, `"aesKey": "${Buffer.alloc(32).toString('base64')}"`))
  await until(() => log.of('error').length === 2, NOTICE_TIMEOUT_MS)
  t.match(log.of('error')[1], 'line 4, column 5: its AES key is all zero')

  const next = randomKey()
  writeKeys(path, [next, { ...good, ...ACCEPTS }], 'json')
  await until(() => keys.status().current === idOf(next), NOTICE_TIMEOUT_MS)
  t.equal(keys.status().lastError, null)
  t.equal(log.of('info').filter((message) => message === "source 'file': the keys can be loaded again").length, 1)
  await client.connect()
  t.match(client, { full: 1, resumed: 2, failed: 0 })
  t.match(keys.stats().reloads, { success: 1, error: errors.length })
  t.notMatch(JSON.stringify(log.lines), good.aesKey.toString('base64').slice(0, 12), 'no key in the log')
})

t.test('a file that disappears and returns unchanged is logged, counted and reported once', async (t) => {
  const path = join(t.testdir(), 'tickets.json')
  const good = [randomKey()]
  writeKeys(path, good, 'json')
  const { keys, log } = await manage(t, { source: new FileSource(path, undefined, false, { pollInterval: 50, settling: 0 }) })
  const results: string[] = []
  keys.on('reload', ({ result }) => { results.push(result) })
  renameSync(path, `${path}.away`)
  await until(() => keys.stats().reloads.error > 0, NOTICE_TIMEOUT_MS)
  renameSync(`${path}.away`, path)
  await until(() => keys.status().lastError === null, NOTICE_TIMEOUT_MS)
  const read = keys.status().lastReload as number
  await until(() => (keys.status().lastReload as number) > read, NOTICE_TIMEOUT_MS)
  t.same(results, ['unchanged'])
  t.match(keys.stats().reloads, { success: 0, unchanged: 1 })
  t.same(log.of('info'), ["source 'file': the keys can be loaded again"])
})

t.test('a directory is loaded completely or not at all', async (t) => {
  const directory = t.testdir()
  const [a, b, c] = [randomKey(), randomKey(), randomKey()]
  writeKeys(join(directory, 'a'), [a])
  const { keys, log } = await manage(t, { source: { type: 'directory', path: directory, format: 'nginx80' } })
  writeKeys(join(directory, 'A'), [b])
  writeKeys(join(directory, 'b'), [c])
  truncateSync(join(directory, 'b'), 79)
  await t.rejects(keys.reload(), {
    code: 'FST_TICKET_KEYS_FORMAT',
    message: `${join(directory, 'b')} (nginx80), byte 0: the file ends after 79`
  })
  t.same(keys.status().keys.map(({ id }) => id), [idOf(a)])
  writeKeys(join(directory, 'b'), [a])
  await t.rejects(keys.reload(), { code: 'FST_TICKET_KEYS_WEAK_KEY', message: 'key 3: has the same name as the key at key 2' })
  t.same(keys.status().keys.map(({ id }) => id), [idOf(a)])
  writeKeys(join(directory, 'b'), [c])
  // What the watch saw may have been loaded already.
  await keys.reload()
  t.same(keys.status().keys.map(({ id }) => id), [b, a, c].map(idOf))
  t.equal(log.of('error').length, 2)
})

t.test('a path that is no key file is refused by name, and nothing hangs', async (t) => {
  const directory = t.testdir({ empty: {}, many: {} })
  const at = (name: string): string => join(directory, name)
  execFileSync('mkfifo', [at('fifo')])
  writeFileSync(at('large'), Buffer.alloc((1 << 20) + 1, 'x'), { mode: 0o600 })
  writeFileSync(at('nothing'), '', { mode: 0o600 })
  symlinkSync('loop', at('loop'))
  for (let i = 0; i < 257; i++) writeFileSync(join(at('many'), `${i}`), 'x', { mode: 0o600 })
  const cases: Array<[kind: 'file' | 'directory', name: string, code: string, problem: string]> = [
    ['file', 'fifo', 'SOURCE', 'is not a file'],
    ['file', 'empty', 'SOURCE', 'is not a file'],
    ['file', 'large', 'SOURCE', 'has 1048577 bytes, more than any file of ticket keys'],
    ['file', 'nothing', 'FORMAT', '(0 bytes): not JSON'],
    ['file', 'loop', 'SOURCE', "can't be read: ELOOP"],
    ['file', 'missing', 'SOURCE', "can't be read: ENOENT"],
    ['file', 'large/key', 'SOURCE', "can't be read: ENOTDIR"],
    ['directory', 'missing', 'SOURCE', "can't be read: ENOENT"],
    ['directory', 'empty', 'SOURCE', 'has no key file'],
    ['directory', 'large', 'SOURCE', "can't be read: ENOTDIR"],
    ['directory', 'many', 'SOURCE', 'has 257 files, more than 256 keys']
  ]
  for (const [type, name, code, problem] of cases) {
    t.match(await startError({ type, path: at(name) }), { code: `FST_TICKET_KEYS_${code}`, message: `ticket keys: ${at(name)} ${problem}` })
  }
  t.match(await startError({ type: 'directory', path: directory }), { message: `${at('empty')} is not a file` }, 'a directory inside it')
  t.match(
    await startError({ type: 'file', path: 'no/such' }),
    { message: `${join(process.cwd(), 'no/such')} can't` },
    'the path in the error is absolute'
  )
})

t.test('a file that grows during the read is not accepted with its old content', async (t) => {
  const path = join(t.testdir(), 'key')
  writeKeys(path, [randomKey()])
  const growing = (bytes: number): Buffer => {
    appendFileSync(path, 'x')
    return Buffer.alloc(bytes)
  }
  await t.rejects(readKeyFile(path, new FileSafety(false), growing),
    { code: 'FST_TICKET_KEYS_SOURCE', message: `${path} grew while it was read` })
  const { data } = await readKeyFile(path, new FileSafety(false), Buffer.alloc)
  t.equal(data.length, 81)
})

t.test('an error without a code is told by its message', async (t) => {
  const path = join(t.testdir(), 'key')
  writeKeys(path, [randomKey()])
  const full = (): never => { throw new Error('out of locked memory') }
  await t.rejects(readKeyFile(path, new FileSafety(false), full),
    { code: 'FST_TICKET_KEYS_SOURCE', message: `${path} can't be read: out of locked memory` })
})

t.test('a file that never stops changing becomes an error, and the last good keys stay', async (t) => {
  const path = join(t.testdir(), 'key')
  writeKeys(path, [randomKey()])
  let restless = false
  class Changing extends FileSource {
    protected override async read (allocate: (bytes: number) => Buffer): ReturnType<FileSource['read']> {
      if (restless) writeKeys(path, [randomKey()])
      return await super.read(allocate)
    }
  }
  const source = new Changing(path, 'nginx80', false, { settling: 10, longestSettling: 100 })
  const { keys } = await manage(t, { source })
  const { current } = keys.status()
  restless = true
  await t.rejects(keys.reload(), { code: 'FST_TICKET_KEYS_SOURCE', message: `${path} goes on changing while it is read` })
  t.equal(keys.status().current, current)
  restless = false
  // The watch may have been faster.
  await keys.reload()
  t.not(keys.status().current, current, 'once it stops changing, it is loaded')
})

t.test('a file that everybody can write is refused; one that everybody can read is one warning, or an error', async (t) => {
  const directory = t.testdir({ keys: {} })
  const path = join(directory, 'keys/key')
  writeKeys(path, [randomKey()])
  const file = { type: 'file', path, format: 'nginx80' } as const
  const both = [file, { ...file, type: 'directory', path: join(directory, 'keys') }] as const
  for (const source of both) {
    chmodSync(path, 0o602)
    t.match(await startError(source), { code: 'FST_TICKET_KEYS_SOURCE', message: `${path} can be written by everybody: chmod o-w` })
    chmodSync(path, 0o644)
    t.match(await startError(source, { strictPermissions: true }), {
      code: 'FST_TICKET_KEYS_SOURCE',
      message: `${path} can be read by everybody: chmod o-r`
    })
    const { keys, log } = await manage(t, { source })
    const warning = `${path} can be read by everybody: chmod o-r`
    t.same(log.of('warn'), [warning])
    const next = randomKey()
    writeKeys(path, [next])
    await keys.reload()
    t.equal(keys.status().current, idOf(next))
    t.same(log.of('warn'), [warning], 'not at each rotation')

    chmodSync(path, 0o640)
    for (const [mode, fits] of [[0o777, false], [0o1777, false], [0o755, true]] as const) {
      chmodSync(join(directory, 'keys'), mode)
      const outcome = await startError(source, { strictPermissions: true })
      if (fits) t.equal(outcome, 'it started', 'strict, and readable by a group')
      else t.match(outcome, { message: `${join(directory, 'keys')} can be written by everybody: chmod o-w` })
    }
  }
  const { keys, log } = await manage(t, { source: file, strictPermissions: true })
  chmodSync(path, 0o604)
  await t.rejects(keys.reload(), { message: 'can be read by everybody' })
  t.equal(keys.status().keys.length, 1)
  t.equal(log.of('error').length, 1)
})
