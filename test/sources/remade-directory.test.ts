import { mkdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { DirectorySource, FileSource } from '../../lib/sources/watched-files.js'
import { handles, issues } from '../helpers/file-server.js'
import { idOf, randomKey, renameKeys, writeKeys } from '../helpers/keys.js'
import { serve } from '../helpers/managed.js'
import { until } from '../helpers/process.js'
import { closeAll } from '../helpers/server.js'

t.teardown(closeAll)

/** Long enough for a busy machine. Only a failing test waits this long. */
const NOTICE_TIMEOUT_MS = 30_000

for (const [kind, Source] of [['file', FileSource], ['directory', DirectorySource]] as const) {
  t.test(`a ${kind} without file system events is polled`, async (t) => {
    const root = t.testdir({ parent: { keys: {} }, away: {} })
    const directory = join(root, 'parent/keys')
    const path = kind === 'file' ? join(directory, 'key') : directory
    const [first, second, third] = [randomKey(), randomKey(), randomKey()]
    writeKeys(join(directory, 'key'), [first])
    const source = new Source(path, 'nginx80', false, { pollInterval: 200 })
    const served = await serve(t, { source })
    await issues(t, served, first, 'at first')
    // The watched directory moves with its parent, without an event.
    mkdirSync(join(root, 'next/keys'), { recursive: true })
    writeKeys(join(root, 'next/keys/key'), [second])
    renameSync(join(root, 'parent'), join(root, 'away/parent'))
    renameSync(join(root, 'next'), join(root, 'parent'))
    await issues(t, served, second, 'in the new directory')
    renameKeys(join(directory, 'key'), [third])
    await issues(t, served, third, 'a change in it')
    t.equal(served.keys.status().lastError, null)
  })

  t.test(`a ${kind}: after its directory was removed and made again, changes are noticed at once`, async (t) => {
    const directory = join(t.testdir({ keys: {} }), 'keys')
    const path = kind === 'file' ? join(directory, 'keys') : directory
    // The file has the same name as its directory, so the system reports both with the same name.
    const file = join(directory, 'keys')
    const first = randomKey()
    writeKeys(file, [first])
    // The poll interval is too long to notice a change in this test.
    const served = await serve(t, { source: new Source(path, 'nginx80', false, { pollInterval: 3_600_000 }) })
    await issues(t, served, first, 'at first')
    const times: number[] = []
    const change = async (name: string): Promise<void> => {
      const next = randomKey()
      const began = performance.now()
      renameKeys(file, [next])
      await until(() => served.keys.status().current === idOf(next), NOTICE_TIMEOUT_MS)
      times.push(Math.round(performance.now() - began))
      await issues(t, served, next, name)
    }
    for (const gone of [0, 300, 1500]) {
      rmSync(directory, { recursive: true })
      await sleep(gone)
      mkdirSync(directory)
      await change(`gone for ${gone} ms: the first change`)
      await change('the second change')
      renameSync(directory, `${directory}.away`)
      mkdirSync(directory)
      await change('moved away: the first change')
      await change('the second change')
      rmSync(`${directory}.away`, { recursive: true })
    }
    t.comment(`noticed after ${times.join(', ')} ms, of which 250 to settle`)
    t.ok(Math.min(...times) < 1000)
    t.equal(served.keys.status().lastError, null)
  })
}

t.test('a source may close at any moment while its watch is being set up', async (t) => {
  const directory = t.testdir()
  writeKeys(join(directory, 'key'), [randomKey()])
  const before = handles().watches
  for (let turns = 0; turns < 30; turns++) {
    const source = new DirectorySource(directory, 'nginx80', false)
    let closed = false
    const watching = source.watch(() => { t.notOk(closed, 'told of a change after it was closed') })
    for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate)
    closed = true
    await source.close()
    await watching
  }
  await sleep(200)
  t.equal(handles().watches, before)
})

t.test('a source that closes while its directory is missing looks for it no longer', async (t) => {
  const directory = join(t.testdir({ keys: {} }), 'keys')
  writeKeys(join(directory, 'key'), [randomKey()])
  const { keys } = await serve(t, { source: { type: 'directory', path: directory, format: 'nginx80' } })
  const before = handles().watches
  rmSync(directory, { recursive: true })
  await until(() => keys.status().lastError !== null, NOTICE_TIMEOUT_MS)
  await keys.close()
  mkdirSync(directory)
  await sleep(300)
  t.ok(handles().watches < before)
})
