import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { PROTOCOLS, ReusingClient, SingleUseClient } from '../helpers/client.js'
import { serve } from '../helpers/managed.js'
import { closeAll } from '../helpers/server.js'

t.teardown(closeAll)

const CLI = fileURLToPath(new URL('../../dist/cli/index.js', import.meta.url))
/** `.ci/nightly` asks for 200. */
const KILLS = Number(process.env['ROTATE_KILLS'] ?? 60)
const INTERVAL = '2s'
/** Longer than this test may take: a TLS 1.2 session ends then, however often it is renewed. */
const LIFETIME = '7m'

t.test(`rotate, killed at ${KILLS} random moments, loses no session and leaves no partial file`, { timeout: 400_000 }, async (t) => {
  const directory = join(t.testdir({ keys: {} }), 'keys')
  const rotate = async (killAfter?: number): Promise<NodeJS.Signals | number | null> => {
    const child = spawn(
      process.execPath,
      [CLI, 'rotate', directory, '--rotation-interval', INTERVAL, '--ticket-lifetime', LIFETIME],
      { env: { PATH: process.env['PATH'] } }
    )
    const timer = killAfter === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), killAfter)
    const [status, signal] = await once(child, 'exit') as [number | null, NodeJS.Signals | null]
    clearTimeout(timer)
    return signal ?? status
  }
  // How long a whole run takes here: moments are chosen within it.
  const started = performance.now()
  t.equal(await rotate(), 0)
  const whole = performance.now() - started

  const { keys, port, log } = await serve(t, {
    source: { type: 'directory', path: directory },
    rotationInterval: INTERVAL,
    ticketLifetime: LIFETIME
  })
  const errors: Error[] = []
  keys.on('reload-error', (error) => errors.push(error))
  const clients = PROTOCOLS.map((protocol) =>
    protocol === 'TLSv1.3'
      ? new SingleUseClient({ port, protocol, timeout: 30_000 })
      : new ReusingClient({ port, protocol, timeout: 30_000 })
  )
  const done = new AbortController()
  const load = clients.map(async (client) => {
    while (!done.signal.aborted) {
      await client.connect()
      await sleep(20)
    }
  })
  let killed = 0
  // Some runs end before their kill, more of them on a busy machine.
  for (let runs = 0; killed < KILLS; runs++) {
    if (await rotate(Math.random() * whole) === 'SIGKILL') killed++
    // One that is left alone now and then, as the next cron run would be.
    if (runs % 10 === 9) t.equal(await rotate(), 0)
  }
  t.equal(await rotate(), 0)
  await sleep(1500)
  done.abort()
  await Promise.all(load)

  t.equal(killed, KILLS)
  t.same(errors.map(({ message }) => message), [], 'every load read complete files')
  t.same(log.of('error'), [])
  for (const client of clients) {
    t.same({ full: client.full, failed: client.failed }, { full: 1, failed: 0 }, 'every connection but the first resumed')
    t.ok(client.resumed > 50)
  }
  const { rotations, reloads } = keys.stats()
  t.ok(rotations >= 10, `${rotations} rotations`)
  t.comment(
    `${killed} kills, ${clients.map(({ resumed }) => resumed).join(' and ')} resumed, ${rotations} rotations, ${reloads.success} reloads`
  )
})
