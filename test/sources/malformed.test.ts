import { join } from 'node:path'
import t from 'tap'
import { KEY_FORMATS } from '../../lib/keys/formats/index.js'
import { serverCert } from '../helpers/certs.js'
import { SingleUseClient } from '../helpers/client.js'
import { idOf, issuerAt, randomKey, writeKeys } from '../helpers/keys.js'
import { runModule } from '../helpers/process.js'

/** What the server's process says of itself: MB, but kB of the locked pages that key bytes lie in, open handles. */
interface Usage { rss: number, heap: number, locked: number, handles: number }

/** A server over a key file, in a process of its own, which makes malformed files and loads them. */
const SERVER = `
  import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
  import { createServer } from 'node:https'
  import { startTicketKeys } from '../../lib/manager/start.js'
  import { resolveOptions } from '../../lib/config/options.js'
  import { DirectorySource, FileSource } from '../../lib/sources/watched-files.js'
  import { malformed } from '../helpers/malformed.js'
  import { listen, closeAll } from '../helpers/server.js'

  const [path, at, kind, format, key, cert] = process.argv.slice(2)
  const source = new (kind === 'file' ? FileSource : DirectorySource)(at, format, false, { settling: 0 })
  const log = { info () {}, warn () {}, error () {} }
  const keys = await startTicketKeys(resolveOptions({ environment: false, source }), log)
  const server = createServer({ key, cert }, (request, response) => response.end())
  keys.attach(server)
  let events = 0
  keys.on('reload-error', () => { events++ })

  const usage = () => {
    gc()
    const { rss, heapUsed } = process.memoryUsage()
    const locked = Number(/VmLck:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1])
    return { rss: rss / 1e6, heap: heapUsed / 1e6, locked, handles: readdirSync('/proc/self/fd').length }
  }
  process.on('message', async (text) => {
    const count = Number(text)
    const codes = {}
    for (let i = 0; i < count; i++) {
      writeFileSync(path, malformed(format))
      const code = await keys.reload().catch((error) => error.message.includes(at) ? error.code : error.message)
      codes[code] = (codes[code] ?? 0) + 1
    }
    process.send({ codes, events, reloads: keys.stats().reloads, usage: usage() })
  })
  process.send(await listen(server))
`

interface Report {
  /** what `reload()` ended in */
  codes: Record<string, number>
  /** `reload-error` */
  events: number
  reloads: Record<string, number>
  usage: Usage
}

t.jobs = 2

const CASES = [
  ...KEY_FORMATS.map((format) => ({ format, kind: 'file' })),
  { format: 'json', kind: 'directory' },
  { format: 'nginx80', kind: 'directory' }
] as const
const COUNT = 10_000 / CASES.length
const WARM_UP = 150

const { key, cert } = await serverCert()

for (const { format, kind } of CASES) {
  t.test(`${kind}, ${format}: ${COUNT} malformed files cause an error each, keep the last good keys, and leak nothing`, async (t) => {
    const directory = t.testdir({ keys: {} })
    const path = join(directory, 'keys/key')
    const good = randomKey(undefined, format.endsWith('48') ? 16 : 32)
    writeKeys(path, [good], format)
    const running = runModule(SERVER, {
      args: [path, kind === 'file' ? path : join(directory, 'keys'), kind, format, key, cert],
      execArgv: ['--expose-gc']
    })
    t.teardown(running.stop)
    const port = await running.next() as number
    const client = new SingleUseClient({ port })
    const load = async (count: number): Promise<Report> => {
      await client.connect()
      running.send(`${count}`)
      return await running.next() as Report
    }
    const before = await load(WARM_UP)
    const after = await load(COUNT)
    await client.connect()
    t.match(client, { full: 1, resumed: 2, failed: 0 })
    t.equal(await issuerAt(port), idOf(good))

    const { codes, events, reloads, usage } = after
    t.same(Object.keys(codes).sort(), ['FST_TICKET_KEYS_FORMAT', 'FST_TICKET_KEYS_WEAK_KEY'])
    // What the watch saw in between is counted as well.
    t.ok(events >= COUNT + WARM_UP)
    t.same(reloads, { success: 0, unchanged: 0, error: events })
    const figures = (by: keyof Usage): string => `${by} ${before.usage[by].toFixed(1)} → ${usage[by].toFixed(1)}`
    t.comment(`${JSON.stringify(codes)}; ${(['rss', 'heap', 'locked', 'handles'] as const).map(figures).join(', ')}`)
    t.ok(usage.rss < before.usage.rss + 25, 'resident memory, MB')
    t.ok(usage.heap < before.usage.heap + 3, 'heap, MB')
    t.ok(usage.locked <= before.usage.locked + 16, 'locked pages, kB')
    t.ok(usage.handles <= before.usage.handles + 2, "handles, including the client's")
  })
}
