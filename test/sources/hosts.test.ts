import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { serializeKeys } from '../../lib/keys/formats/index.js'
import type { TicketKey } from '../../lib/keys/key.js'
import { PROTOCOLS, ReusingClient, SingleUseClient, type Protocol } from '../helpers/client.js'
import { startHost, type Host } from '../helpers/host.js'
import { randomKey, updateMountedSecret } from '../helpers/keys.js'
import { until } from '../helpers/process.js'

const INTERVAL = 1000
const ROTATIONS = 10
/** Longer than the test: a TLS 1.2 session ends so long after its full handshake. */
const OPTIONS = { rotationInterval: INTERVAL, ticketLifetime: '200s', maxSessionAge: '400s' }

/** Two clients, one each for both versions, go from host to host, a connection each, until every host has rotated often enough. */
async function alternate (
  hosts: readonly Host[],
  meanwhile: (round: number) => void = () => {}
): Promise<{ single: SingleUseClient, reusing: ReusingClient }> {
  const options = { port: 0, timeout: 30_000 }
  const single = new SingleUseClient({ ...options, protocol: 'TLSv1.3' })
  const reusing = new ReusingClient({ ...options, protocol: 'TLSv1.2' })
  const before = await rotations(hosts)
  for (let round = 0; ; round++) {
    meanwhile(round)
    for (const { port } of hosts) {
      await single.connect({ port })
      await reusing.connect({ port })
      await sleep(20)
    }
    if (round % 20 !== 0) continue
    const now = await rotations(hosts)
    if (now.every((count, index) => count - (before[index] ?? 0) >= ROTATIONS)) return { single, reusing }
  }
}

async function rotations (hosts: readonly Host[]): Promise<number[]> {
  return await Promise.all(hosts.map(async (host) => (await host.report()).stats.rotations))
}

/** Every connection after the first resumed, and the hosts counted the same. */
async function nothingLost (t: Test, hosts: readonly Host[], { single, reusing }: Awaited<ReturnType<typeof alternate>>): Promise<void> {
  t.match(single, { full: 1, failed: 0 }, 'TLS 1.3, each ticket once')
  t.match(reusing, { full: 1, failed: 0 }, 'TLS 1.2, the same ticket again')
  const reports = await Promise.all(hosts.map(async (host) => (await host.report()).stats))
  const sum = (pick: (stats: typeof reports[number], protocol: Protocol) => number): number[] =>
    PROTOCOLS.map((protocol) => reports.reduce((total, stats) => total + pick(stats, protocol), 0))
  t.same(sum((stats, protocol) => stats.resumed[protocol]), [reusing.resumed, single.resumed])
  t.same(sum((stats, protocol) => stats.handshakes[protocol].resumed), [reusing.resumed, single.resumed])
  t.same(sum((stats, protocol) => stats.handshakes[protocol].full), [1, 1])
  const rejected = reports.flatMap((stats, host) =>
    PROTOCOLS.flatMap((protocol) =>
      Object.entries(stats.rejected[protocol]).map(([reason, count]) => ({ host, protocol, reason, count }))
    )
  )
  t.same(rejected.filter(({ count }) => count > 0), [])
  for (const { resumed } of reports) {
    t.ok(
      PROTOCOLS.every((protocol) => resumed[protocol] > ROTATIONS),
      'each host resumed some connections'
    )
  }
  const share = ({ resumed }: { resumed: number }): string => `${resumed} of ${resumed + 1}`
  const rotations = reports.map((stats) => stats.rotations).join(' and ')
  t.comment(`resumed: ${share(reusing)} over TLS 1.2, ${share(single)} over TLS 1.3; rotations: ${rotations}`)
}

t.test('two processes with one secret, clocks half an interval apart, ten rotations: every connection but the first resumes', async (t) => {
  const options = { ...OPTIONS, source: { type: 'secret' as const, secret: randomBytes(32).toString('base64') } }
  const hosts = await Promise.all([
    startHost(t, options, 0, ['first']),
    startHost(t, options, INTERVAL / 2, ['second', '--other', 'arguments'])
  ])
  await nothingLost(t, hosts, await alternate(hosts))
  for (const host of hosts) {
    const { errors, warnings } = await host.report()
    t.same(errors, [])
    t.same(warnings.filter((message) => message.includes('TLS 1.2')).length, 1, 'the warning about TLS 1.2, once')
  }
})

t.test('two processes with mounted directories, swapped each second, once with invalid data: no session is lost', async (t) => {
  const root = t.testdir({ a: {}, b: {} })
  const directories = [join(root, 'a'), join(root, 'b')]
  const began = Math.floor(Date.now() / INTERVAL) * INTERVAL
  const timetable: TicketKey[] = Array.from({ length: 120 }, (_, number) => {
    const notBefore = began + (number - 2) * INTERVAL
    return randomKey({ notBefore, issueUntil: notBefore + INTERVAL, acceptUntil: notBefore + 90 * INTERVAL })
  })
  /** The keys up to now and the next nine, in two files: fewer than the rotations that are waited for. */
  const files = (): Record<string, Buffer> => {
    const known = timetable.filter(({ notBefore }) => notBefore < Date.now() + 9 * INTERVAL)
    return { old: serializeKeys(known.slice(0, -6), 'json'), 'the-next': serializeKeys(known.slice(-6), 'json') }
  }
  for (const directory of directories) updateMountedSecret(directory, files())
  const hosts = await Promise.all(directories.map(async (path, index) =>
    await startHost(t, { ...OPTIONS, source: { type: 'directory', path } }, index * INTERVAL / 2, [path])))

  // A busy machine may need longer to start them than these keys last.
  for (const directory of directories) updateMountedSecret(directory, files())
  await until(async () => (await Promise.all(hosts.map((host) => host.report()))).every(({ stats }) => stats.reloads.success > 0))
  const mounts = directories.map((directory, index) => ({ directory, swaps: 0, last: Date.now() - index * INTERVAL / 2 }))
  const clients = await alternate(hosts, () => {
    for (const mount of mounts) {
      // The fourth swap is rubbish: a file that was cut off. It stays long enough for a busy machine to see it.
      if (Date.now() - mount.last < (mount.swaps === 4 ? 2 : 1) * INTERVAL) continue
      mount.last = Date.now()
      const next = files()
      updateMountedSecret(
        mount.directory,
        mount.swaps++ === 3 ? { ...next, 'the-next': next['the-next']?.subarray(0, 300) ?? Buffer.alloc(0) } : next
      )
    }
  })
  await nothingLost(t, hosts, clients)
  for (const [index, host] of hosts.entries()) {
    const { stats: { reloads }, errors, reloadErrors } = await host.report()
    t.comment(`host ${index}: ${mounts[index]?.swaps} swaps, reloads ${JSON.stringify(reloads)}`)
    t.ok(reloads.success >= 3)
    t.ok(reloads.error >= 1)
    t.same(reloadErrors, Array(reloads.error).fill('FST_TICKET_KEYS_FORMAT'))
    // A host that starts slowly, on a busy machine, may find no key that can issue, and says so first.
    const failures = errors.filter((message) => !message.startsWith('ticket keys are stale'))
    t.match(failures, { length: 1 })
    t.match(failures[0], `${join(directories[index] ?? '', 'the-next')} (json), line`)
  }
})
