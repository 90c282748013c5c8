import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Clock } from '../../lib/util/clock.js'
import { MAX_KEYS } from '../../lib/keys/key.js'
import { currentKey } from '../../lib/keys/timetable.js'
import type { KeySource, SourceKeys } from '../../lib/sources/key-source.js'
import { connect, PROTOCOLS, SingleUseClient } from '../helpers/client.js'
import { issuerAt } from '../helpers/keys.js'
import { serve } from '../helpers/managed.js'
import { until } from '../helpers/process.js'
import { plainHttps } from '../helpers/server.js'

/** A source to be looked at, and what can be done to its store. */
export interface Subject {
  source: KeySource
  /** puts another key in front, as the store's owner would, and leaves those before as accepting ones */
  change?: () => void | Promise<void>
  /** makes the store unreadable, or what is in it */
  damage?: () => void | Promise<void>
  /** takes that back */
  repair?: () => void | Promise<void>
}

/** How long a source may take to notice a change on a busy machine, ms. */
const NOTICE_TIMEOUT_MS = 30_000

/**
 * Tests of the requirements on every key source. To test your own source, call this function with a `make` that returns
 * a new source with its own store on each call.
 */
export function conformance (name: string, make: (t: Test) => Promise<Subject>): void {
  t.test(`${name}: is a key source`, async (t) => {
    const { source } = await make(t)
    t.match(source.type, /^[a-z][a-z0-9-]*$/, 'a word usable as a label')
    t.ok(source.pollInterval === undefined || source.pollInterval > 0)
    for (const method of ['watch', 'rotate', 'close'] as const) t.ok(['function', 'undefined'].includes(typeof source[method]), method)
  })

  t.test(`${name}: returns complete, distinct keys, one of which issues now`, async (t) => {
    const { source } = await make(t)
    const now = Date.now()
    const loaded = await source.load(now)
    if (loaded === null) throw new Error('no keys at first')
    checkKeys(t, loaded, now)
    await source.close?.()
  })

  t.test(`${name}: hands over its key bytes`, async (t) => {
    const { source } = await make(t)
    const now = Date.now()
    const first = (await source.load(now))?.keys ?? []
    const names = first.map(({ name }) => name.toString('hex'))
    for (const { aesKey, hmacKey } of first) for (const half of [aesKey, hmacKey]) half?.fill(0)
    const second = await source.load(now)
    // No change is an answer as well.
    t.same(second === null ? names : second.keys.map(({ name }) => name.toString('hex')), names, 'the same names')
    for (const { aesKey, hmacKey } of second?.keys ?? []) {
      t.ok(
        [aesKey, hmacKey].every((half) => half === undefined || half.some((byte) => byte !== 0)),
        'new bytes or none, not the zeroed bytes'
      )
    }
    await source.close?.()
  })

  for (const protocol of PROTOCOLS) {
    t.test(`${name}: ${protocol} sessions resume under its keys until the manager closes`, async (t) => {
      const { source } = await make(t)
      const { keys, port } = await serve(t, { source })
      const { session } = await connect({ port, protocol })
      t.equal((await connect({ port, protocol, session })).reused, true)
      t.equal(keys.status().source, source.type)
      await keys.close()
      t.equal((await connect({ port, protocol, session })).reused, false)
      t.equal(await issuerAt(port, protocol), undefined)
    })
  }

  t.test(`${name}: as the clock moves in large steps and backwards, a key issues`, async (t) => {
    const { source } = await make(t)
    const clock = new Clock()
    const { keys, port } = await serve(t, { source }, plainHttps, clock)
    if (source.makesKeys !== true) return
    for (const step of [3_600_000, 3_600_000, -5_400_000, 600_000]) {
      clock.step(step)
      keys.status()
      t.type(await issuerAt(port), 'string')
    }
  })

  t.test(`${name}: rotates on request, or reports that it does not`, async (t) => {
    const { source } = await make(t)
    const { keys, port } = await serve(t, { source })
    const client = new SingleUseClient({ port })
    await client.connect()
    const before = await issuerAt(port)
    if (source.rotate === undefined) await t.rejects(keys.rotate(), { code: 'FST_TICKET_KEYS_ROTATE' })
    else await keys.rotate()
    t.equal(await issuerAt(port) === before, source.rotate === undefined)
    await client.connect()
    t.match(client, { full: 1, resumed: 1 })
  })

  t.test(`${name}: a change is noticed, and loses no session`, async (t) => {
    const { source, change } = await make(t)
    const { keys, port } = await serve(t, { source })
    const client = new SingleUseClient({ port })
    for (let i = 0; i < (change === undefined ? 0 : 3); i++) {
      const before = await issuerAt(port)
      await client.connect()
      await change?.()
      await until(async () => await issuerAt(port) !== before, NOTICE_TIMEOUT_MS)
      await client.connect()
    }
    // Time for some polls, if they are that frequent: what has not changed is not loaded again.
    await sleep(500)
    t.match(client, change === undefined ? { full: 0 } : { full: 1, resumed: 5, failed: 0 })
    t.match(keys.stats().reloads, { success: change === undefined ? 0 : 3, error: 0 })
  })

  t.test(`${name}: a store that fails or holds invalid data costs only the next change`, async (t) => {
    const { source, change, damage, repair } = await make(t)
    const { keys, log, port } = await serve(t, { source })
    if (change === undefined || damage === undefined || repair === undefined) return
    const before = await issuerAt(port)
    const client = new SingleUseClient({ port })
    await client.connect()
    await damage()
    await until(() => keys.status().lastError !== null, NOTICE_TIMEOUT_MS)
    await t.rejects(keys.reload())
    await client.connect()
    t.equal(await issuerAt(port), before)
    await repair()
    await change()
    await until(async () => await issuerAt(port) !== before, NOTICE_TIMEOUT_MS)
    await client.connect()
    t.match(client, { full: 1, resumed: 2, failed: 0 })
    t.equal(keys.status().lastError, null)
    t.ok(log.of('error').length >= 1)
  })

  t.test(`${name}: emits nothing after close`, async (t) => {
    const { source, change } = await make(t)
    await source.load(Date.now())
    let calls = 0
    await source.watch?.(() => { calls++ })
    await source.close?.()
    const before = calls
    await change?.()
    await sleep(500)
    t.equal(calls, before)
    await source.close?.()
  })
}

function checkKeys (t: Test, { keys, timed, refreshAt = Infinity, warnings = [] }: SourceKeys, now: number): void {
  t.ok(keys.length >= 1 && keys.length <= MAX_KEYS)
  for (const { name, aesKey, hmacKey, notBefore, issueUntil, acceptUntil } of keys) {
    t.equal(name.length, 16)
    t.ok(aesKey !== undefined && [16, 32].includes(aesKey.length) && hmacKey?.length === aesKey.length)
    t.ok(notBefore <= issueUntil && issueUntil <= acceptUntil, 'times in order')
  }
  const parts = keys.flatMap(({ name, aesKey, hmacKey }) => [name, aesKey, hmacKey]).map((part) => part?.toString('hex'))
  t.equal(new Set(parts).size, parts.length, 'no duplicates')
  t.not(currentKey(keys, now), undefined, 'a key that issues')
  t.type(timed, 'boolean')
  t.ok(refreshAt > now)
  for (const { aesKey, hmacKey } of keys) {
    for (const encoding of ['hex', 'base64'] as const) {
      t.notOk(warnings.some((warning) => [aesKey, hmacKey].some((half) => half !== undefined && warning.includes(half.toString(encoding)))))
    }
  }
}
