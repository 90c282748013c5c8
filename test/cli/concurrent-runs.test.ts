import { Buffer } from 'node:buffer'
import { existsSync, readdirSync, readFileSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { hostId, withLock } from '../../lib/cli/files/lock.js'
import { readKeyFiles, type KeyFiles } from '../../lib/cli/files/read.js'
import { stateOf } from '../../lib/cli/files/timetable.js'
import { FormatError, WeakKeyError } from '../../lib/util/errors.js'
import { type KeyFormat } from '../../lib/keys/formats/index.js'
import { removeStaleTempFiles, replaceFile, writeNewFile } from '../../lib/cli/files/atomic-write.js'
import { runModule, until } from '../helpers/process.js'
import { cli, makeOld, names, parseFile, start } from '../helpers/cli.js'

t.test('a lock is taken over only from a dead process', async (t) => {
  const dir = t.testdir()
  const order: string[] = []
  await Promise.all(['a', 'b', 'c'].map(async (who) => await withLock(dir, async () => {
    order.push(`${who}+`)
    await sleep(20)
    order.push(`${who}-`)
  })))
  t.match(order.join(''), /^(?:(.)\+\1-){3}$/, 'one run after the other')

  const own = await withLock(dir, async () => readdirSync(dir)[0] ?? '')
  t.same(readdirSync(dir), [])
  const dead = start('--version')
  await dead.done
  writeFileSync(join(dir, own.replace(/\d+/, `${dead.child.pid}`)), '')
  writeFileSync(join(dir, own.replace(`.${process.pid}.`, '.1.')), '')
  makeOld(join(dir, own.replace(`.${process.pid}.`, '.1.')), 120_000)
  const elsewhere = join(dir, own.replace(/\.[0-9a-f]{16}\./, '.0123456789abcdef.'))
  writeFileSync(elsewhere, '')
  let done = false
  const waiting = withLock(dir, async () => { done = true })
  await until(() => readdirSync(dir).length === 1)
  await sleep(150)
  t.notOk(done, 'a process of another host may be alive')
  t.same(readdirSync(dir).map((name) => join(dir, name)), [elsewhere], 'the lock files of dead processes are removed')
  await t.rejects(withLock(dir, async () => {}, 30), { code: 'FST_TICKET_KEYS_SOURCE', message: /locked by another run for 0.03 s/ })
  makeOld(elsewhere, 120_000)
  await waiting
  t.ok(done, 'until its lock is too old')

  await t.rejects(withLock(dir, async (lock) => {
    await lock.assertHeld()
    for (const name of readdirSync(dir)) unlinkSync(join(dir, name))
    await lock.assertHeld()
  }), { code: 'FST_TICKET_KEYS_SOURCE', message: /lost the lock/ })
})

t.test('containers that share a host name differ by their PID namespaces, if the system has such namespaces', async (t) => {
  const dir = t.testdir()
  for (const [name, namespace] of [
    ['one', 'pid:[1]'],
    ['same', 'pid:[1]'],
    ['other', 'pid:[2]']
  ] as const) {
    symlinkSync(namespace, join(dir, name))
  }
  const [one, same, other, none] = ['one', 'same', 'other', 'none'].map((name) => hostId(join(dir, name)))
  t.equal(one, same)
  t.equal(new Set([one, other, none]).size, 3)
  for (const id of [one, other, none]) t.match(id, /^[0-9a-f]{16}$/)
  t.equal(none, hostId(join(dir, 'missing too')), 'without namespaces, only the name counts')
  const own = await withLock(dir, async () => readdirSync(dir).find((name) => name.startsWith('.lock')))
  t.equal(own?.split('.')[3], hostId('/proc/self/ns/pid'))
})

t.test('files are written completely or not at all', async (t) => {
  const dir = t.testdir({ taken: {} })
  await writeNewFile(join(dir, 'new'), Buffer.from('one'))
  await t.rejects(writeNewFile(join(dir, 'new'), Buffer.from('two')), { code: 'FST_TICKET_KEYS_SOURCE' })
  await replaceFile(join(dir, 'new'), Buffer.from('three'))
  t.equal(readFileSync(join(dir, 'new'), 'utf8'), 'three')
  await t.rejects(replaceFile(join(dir, 'missing'), Buffer.from('x')), { code: 'ENOENT' })
  await t.rejects(replaceFile(join(dir, 'taken'), Buffer.from('x')), { code: 'EISDIR' })
  await t.rejects(writeNewFile(join(dir, 'wrong'), undefined as unknown as Buffer), TypeError)
  await t.rejects(writeNewFile(join(dir, 'directory/'), Buffer.from('x')), { code: 'ENOENT' })
  const nowhere = join(dir, 'none', 'x')
  await t.rejects(writeNewFile(nowhere, Buffer.from('x')), {
    code: 'FST_TICKET_KEYS_SOURCE',
    message: `ticket keys: ${nowhere} can't be written: its directory gives ENOENT`
  })
  t.same(readdirSync(dir).sort(), ['new', 'taken'], 'no temporary file remains')

  const [fresh, old] = ['fresh', 'old'].map((name) => join(dir, `.${name}.77.0123456789abcdef.tmp`)) as [string, string]
  for (const path of [fresh, old]) writeFileSync(path, '')
  makeOld(old, 120_000)
  await removeStaleTempFiles(dir)
  t.ok(existsSync(fresh) && !existsSync(old), 'temporary files of killed writers are removed when they are too old to be in use')
  symlinkSync('gone', old)
  await removeStaleTempFiles(dir)
  t.notSame(readdirSync(dir).filter((name) => old.endsWith(name)), [], 'a file of unknown age is not removed')
  const odd = t.testdir({ '.odd.77.0123456789abcdef.tmp': {} })
  makeOld(join(odd, '.odd.77.0123456789abcdef.tmp'), 120_000)
  await t.rejects(removeStaleTempFiles(odd), { code: /^(EISDIR|EPERM)$/ }, 'a file that cannot be removed is an error')
})

/** Reads the keys repeatedly while other processes write them. Every read must succeed, and is passed to `check`. */
function watchKeys (t: Test, path: string, format: KeyFormat, check: (read: KeyFiles, before: number) => void) {
  let running = true
  let looks = 0
  const finished = (async () => {
    while (running) {
      const before = Date.now()
      try {
        check(await readKeyFiles(path, format), before)
        looks++
      } catch (error) {
        // A file can expire between the listing of its directory and the read.
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') t.fail(`not loadable: ${String(error)}`)
        if (error instanceof FormatError || error instanceof WeakKeyError) running = false
      }
      await sleep(3)
    }
  })()
  return {
    stop: async () => {
      running = false
      await finished
      return looks
    }
  }
}

/** Every key seen must be seen again until it expires. */
function loseNone (t: Test) {
  const seen = new Map<string, number>()
  return (read: KeyFiles, before: number) => {
    const here = new Set(names(read))
    const now = Date.now()
    for (const [name, acceptUntil] of seen) if (acceptUntil > now + 50 && !here.has(name)) t.fail(`lost ${name}`)
    if (!read.keys.some((key) => stateOf(key, read.keys, before) === 'current')) t.fail('no key issues')
    for (const key of read.keys) seen.set(key.name.toString('hex'), key.acceptUntil)
    return seen.size
  }
}

t.test('of several runs at once, one does the work', async (t) => {
  const dir = t.testdir({ directory: {} })
  const [file, list] = [join(dir, 'keys.json'), join(dir, 'list')]
  await cli('generate', '--out', file)
  await cli('generate', '--format', 'nginx80', '--out', list)
  for (const [args, added] of [
    [[file, '--rotation-interval', '3h'], 2],
    [[list, '--format', 'nginx80'], 1],
    [[join(dir, 'directory')], 4]
  ] as const) {
    const outcomes = await Promise.all(Array.from({ length: 4 }, async () => await cli('rotate', ...args)))
    t.same(
      outcomes.map(({ status }) => status),
      [0, 0, 0, 0]
    )
    const said = outcomes.map(({ stdout }) => stdout.toString().replace(/^.*: /, '')).sort()
    t.same(said, [`${added} added, 0 removed\n`, ...Array<string>(3).fill('no key added or removed\n')])
  }
})

t.test('two command lines at once, killed at random moments, leave a usable file', async (t) => {
  const dir = t.testdir({ directory: {} })
  const quick = ['--rotation-interval', '400ms', '--ticket-lifetime', '3s']
  const file = join(dir, 'keys.json')
  await cli('generate', '--out', file, '--keys', '80', ...quick)
  await cli('rotate', join(dir, 'directory'), ...quick)
  const watchers = [file, join(dir, 'directory')].map((path) => watchKeys(t, path, 'json', loseNone(t)))
  // If no run succeeds, the keys last for half a minute.
  const end = performance.now() + 15_000
  let killed = 0
  for (let round = 0; round < 24 && performance.now() < end; round++) {
    const path = round % 2 === 0 ? file : join(dir, 'directory')
    const runs = [start('rotate', path, ...quick), start('rotate', path, ...quick)]
    await sleep(150 + Math.random() * 400)
    for (const { child } of runs.slice(round % 3 === 0 ? 1 : 0)) child.kill('SIGKILL')
    for (const outcome of await Promise.all(runs.map(async ({ done }) => await done))) {
      if (outcome.status === null) killed++
      else t.equal(outcome.status, 0, outcome.stderr)
    }
  }
  for (const watcher of watchers) t.ok(await watcher.stop() > 10)
  // The number depends on the speed of the machine.
  t.ok(killed > 0, `${killed} killed`)
  for (const path of [file, join(dir, 'directory')]) t.equal((await cli('rotate', path, ...quick)).status, 0, 'the next run takes over')
  t.equal(readdirSync(dir).filter((name) => name.startsWith('.lock')).length, 0)
})

t.test('two runs at once, rotating without pause and killed at random moments, lose no key', async (t) => {
  const dir = t.testdir({ directory: {} })
  const list = join(dir, 'list')
  await cli('generate', '--format', 'haproxy', '--out', list)
  await cli('rotate', join(dir, 'directory'), '--rotation-interval', '200ms', '--ticket-lifetime', '2s')
  let previous: string[] = []
  const watchers = [
    watchKeys(t, join(dir, 'directory'), 'json', loseNone(t)),
    watchKeys(t, list, 'haproxy', (read) => {
      const here = names(read)
      // The newest key is dropped only after about a hundred rotations, which cannot happen between two reads.
      const upTo = here.indexOf(previous.at(-1) ?? here[0] ?? '') + 1
      if (upTo === 0) t.fail('lost the newest key')
      else if (previous.length > 0) t.ok(previous.join().endsWith(here.slice(0, upTo).join()), 'the rotations follow each other')
      previous = here
    })
  ]
  const code = `
    import { rotate } from '../../lib/cli/files/rotate.js'
    for (let round = 0; ; round++) {
      await rotate(process.argv[2], { format: 'haproxy', rotationInterval: 1, ticketLifetime: 1, keep: 100 })
      await rotate(process.argv[3], { format: 'json', rotationInterval: 200, ticketLifetime: 2000 })
      if (round === 0) process.send('ready')
    }`
  const run = () => runModule(code, { args: [list, join(dir, 'directory')], env: { _TAPJS_PROCESSINFO_COVERAGE_: '0' } })
  const end = performance.now() + 12_000
  let rounds = 0
  for (; rounds < 16 && performance.now() < end; rounds++) {
    const runs = [run(), run()]
    await Promise.all(runs.map(async ({ next }) => await next()))
    for (const { child } of runs) {
      await sleep(Math.random() * 100)
      child.kill('SIGKILL')
    }
    for (const { exit } of runs) t.equal((await exit).signal, 'SIGKILL')
  }
  for (const watcher of watchers) t.ok(await watcher.stop() > 10)
  t.ok(parseFile(list, 'haproxy').keys.length > rounds, 'each round adds at least one key')
})
