import fc from 'fast-check'
import t from 'tap'
import { ACCEPTS, ISSUES, type KeyTimes, type SourceKey, WILL_ISSUE } from '../../lib/keys/key.js'
import { currentKey, keysHeld, mayIssue, nextRotation, rotationsBetween, stateOf } from '../../lib/keys/timetable.js'
import { MemorySource } from '../../lib/sources/memory.js'
import type { SourceKeys } from '../../lib/sources/key-source.js'

const HOUR = 3_600_000
const NOW = 1_700_000_000_000

function times (notBefore: number, issueUntil: number, acceptUntil: number): KeyTimes {
  return { notBefore, issueUntil, acceptUntil }
}

t.test('the current key is the newest key that has begun and has not passed issueUntil', async (t) => {
  const [first, second, third] = [times(0, 10, 30), times(10, 20, 40), times(20, 30, 50)] as const
  const keys = [second, third, first]
  t.equal(currentKey(keys, -1), undefined)
  for (const [now, key] of [[0, first], [9, first], [10, second], [19, second], [20, third], [29, third]] as const) {
    t.equal(currentKey(keys, now), key, `at ${now}`)
  }
  t.equal(currentKey(keys, 30), undefined)
  t.equal(currentKey([times(0, 100, 100), second], 12), second, 'the newer of two keys that may issue')
  t.equal(currentKey([times(0, 100, 100), second], 50)?.notBefore, 0)
  t.equal(currentKey([times(0, 100, 20)], 20), undefined, 'a key that no longer accepts')
  t.equal(currentKey([], 0), undefined)
})

t.test('in a list without times, the issuing key is always current', async (t) => {
  const keys = [{ ...ACCEPTS }, { ...ISSUES }, { ...WILL_ISSUE }]
  for (const now of [0, NOW, 2 * NOW]) {
    t.equal(currentKey(keys, now), keys[1])
    t.same(keys.map((key) => stateOf(key, keys[1], now)), ['previous', 'current', 'next'])
  }
  t.same(keys.map(mayIssue), [false, true, false])
  t.equal(nextRotation(keys, NOW), undefined)
})

t.test('a key is next, current, previous, and then gone', async (t) => {
  const [key, newer] = [times(10, 20, 30), times(20, 30, 40)]
  const states = [9, 10, 19, 20, 29, 30].map((now) => stateOf(key, currentKey([key, newer], now), now))
  t.same(states, ['next', 'current', 'current', 'previous', 'previous', undefined])
})

t.test('the next rotation is the next beginning of a key that may issue', async (t) => {
  const keys = [times(0, 10, 30), times(10, 20, 40), times(20, 30, 50), times(15, 15, 90), { ...WILL_ISSUE }]
  t.same([-5, 0, 9, 10, 19, 20].map((now) => nextRotation(keys, now)), [0, 10, 10, 20, 20, undefined])
})

t.test('rotations are counted by the timetable, regardless of when it is read', async (t) => {
  const keys = Array.from({ length: 20 }, (_, index) => times(index * 10, index * 10 + 10, index * 10 + 30))
  t.equal(rotationsBetween(keys, 0, 0), 0)
  t.equal(rotationsBetween(keys, 0, 9), 0)
  t.equal(rotationsBetween(keys, 0, 10), 1)
  t.equal(rotationsBetween(keys, 10, 20), 1)
  t.equal(rotationsBetween(keys, 5, 95), 9)
  t.equal(rotationsBetween([times(0, 100, 100), times(10, 20, 20)], 0, 15), 1)
  t.equal(rotationsBetween([times(0, 100, 100), times(10, 10, 20)], 0, 15), 0, 'a key that only accepts causes no rotation')
  t.doesNotThrow(() => fc.assert(fc.property(fc.array(fc.integer({ min: 0, max: 199 }), { minLength: 2 }), (moments) => {
    moments.sort((a, b) => a - b)
    const [from, to] = [moments[0] as number, moments.at(-1) as number]
    const inSteps = moments.slice(1).reduce((sum, moment, index) => sum + rotationsBetween(keys, moments[index] as number, moment), 0)
    return inSteps === rotationsBetween(keys, from, to)
  })))
})

/** Loads, and throws if the keys are not as they always should be. */
function load (source: MemorySource, now: number, interval: number): SourceKeys {
  const loaded = source.load(now)
  const { keys, timed, refreshAt = 0 } = loaded
  const next = keys.filter((key) => key.notBefore > now && mayIssue(key))
  const lastEnd = Math.max(...next.map(({ issueUntil }) => issueUntil))
  const wrong = [
    !timed && 'without times',
    currentKey(keys, now) === undefined && 'no current key',
    currentKey(keys, -Infinity) === undefined && 'no key that has always begun',
    next.length < 3 && 'fewer than three intervals ahead',
    (next.at(-1)?.notBefore ?? 0) < now + 30_000 - interval && 'less than 30 s ahead',
    lastEnd < now + Math.max(3 * interval, 30_000) && 'keys end too soon',
    keys.length > 256 && `${keys.length} keys`,
    new Set(keys.map(({ name }) => name.toString('hex'))).size < keys.length && 'two keys of one name',
    keys.some(({ acceptUntil }) => acceptUntil <= now) && 'an expired key',
    refreshAt <= now && 'no time to come again'
  ].filter((problem) => problem !== false)
  if (wrong.length > 0) throw new Error(`at ${now - NOW} ms: ${wrong.join(', ')}`)
  return loaded
}

const timetables = [
  { interval: 1000, lifetime: 1000 },
  { interval: 1000, lifetime: 200_000 },
  { interval: 7_000, lifetime: 60_000 },
  { interval: HOUR, lifetime: 2 * HOUR },
  { interval: 24 * HOUR, lifetime: 7 * 24 * HOUR }
]

for (const { interval, lifetime } of timetables) {
  t.test(`the memory source with a key every ${interval / 1000} s and tickets of ${lifetime / 1000} s`, async (t) => {
    const source = new MemorySource(interval, lifetime)
    let now = NOW
    const issuers: SourceKey[] = []
    let most = 0
    while (now < NOW + 2 * lifetime + 10 * interval) {
      const { keys, refreshAt } = load(source, now, interval)
      const current = currentKey(keys, now) as SourceKey
      if (!issuers.some(({ name }) => name.equals(current.name))) issuers.push({ ...current })
      const wait = current.acceptUntil - current.issueUntil
      if (wait !== lifetime) throw new Error(`a ticket made at the end of its key's time lives ${wait} ms`)
      most = Math.max(most, keys.length)
      now = refreshAt as number
    }
    t.same(issuers.slice(1).map(({ notBefore }, index) => notBefore - (issuers[index] as SourceKey).issueUntil),
      Array<number>(issuers.length - 1).fill(0), 'no gap, no overlap')
    t.equal(issuers[1]?.notBefore, NOW + interval, 'the first key issues for one interval')
    t.ok(most <= keysHeld(interval, lifetime), `${most} keys, ${keysHeld(interval, lifetime)} expected`)
  })
}

t.test('the memory source returns the bytes of each key only once, 32 bytes for each half', async (t) => {
  const source = new MemorySource(1000, 5000)
  const seen = new Set<string>()
  const lengths = new Set<string>()
  for (let now = NOW; now < NOW + 20_000; now += 500) {
    for (const { name, aesKey, hmacKey } of load(source, now, 1000).keys) {
      const id = name.toString('hex')
      lengths.add(`${seen.has(id) ? 'again' : 'first'}: ${name.length} ${aesKey?.length} ${hmacKey?.length}`)
      seen.add(id)
    }
  }
  t.same([...lengths], ['first: 16 32 32', 'again: 16 undefined undefined'])
  t.ok(seen.size >= 20 + 30)
})

t.test('after any change of the clock, the memory source has a current key and keys ahead', async (t) => {
  const step = fc.oneof(fc.integer({ min: -HOUR, max: HOUR }), fc.integer({ min: -NOW, max: NOW }), fc.integer({ min: -3000, max: 3000 }))
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(
        fc.constantFrom(...timetables),
        fc.array(fc.tuple(step, fc.boolean()), { maxLength: 60 }),
        ({ interval, lifetime }, steps) => {
          const source = new MemorySource(interval, lifetime)
          let now = NOW
          load(source, now, interval)
          for (const [by, rotate] of steps) {
            now += by
            load(source, now, interval)
            if (!rotate) continue
            source.rotate(now)
            load(source, now, interval)
          }
        }
      ),
      { numRuns: 200 }
    )
  )
})

t.test('a manual rotation of the memory source moves every next key forward by the same time', async (t) => {
  const source = new MemorySource(HOUR, 2 * HOUR)
  const before = load(source, NOW, HOUR).keys
  const now = NOW + HOUR / 4
  source.rotate(now)
  const { keys } = load(source, now, HOUR)
  t.same(keys.slice(0, before.length).map(({ name }) => name), before.map(({ name }) => name))
  t.same(keys.map(({ notBefore, issueUntil, acceptUntil }) => [notBefore, issueUntil, acceptUntil].map((moment) => (moment - now) / HOUR)),
    [[-Infinity, 0, 2], [0, 1, 3], [1, 2, 4], [2, 3, 5], [3, 4, 6]])
})

t.test('the memory source can rotate after the clock has passed all its keys, and before it has any', async (t) => {
  const source = new MemorySource(HOUR, 2 * HOUR)
  source.rotate(NOW)
  const before = load(source, NOW, HOUR).keys
  source.rotate(NOW + 100 * HOUR)
  const { keys } = load(source, NOW + 100 * HOUR, HOUR)
  t.notOk(keys.some(({ name }) => before.some((key) => key.name.equals(name))), 'a new timetable')
})

t.test('repeated manual rotation of the memory source never holds more than 256 keys', async (t) => {
  const source = new MemorySource(HOUR, 2 * HOUR)
  let last = currentKey(load(source, NOW, HOUR).keys, NOW)
  for (let now = NOW; now < NOW + 600; now++) {
    source.rotate(now)
    const { keys } = load(source, now, HOUR)
    const current = currentKey(keys, now)
    if (current === undefined || last === undefined || current.name.equals(last.name)) throw new Error('the next key does not issue')
    if (!keys.some(({ name }) => name.equals(last?.name as Buffer))) throw new Error('the last key is gone')
    last = current
  }
  t.ok(load(source, NOW + 600, HOUR).keys.length > 250)
})
