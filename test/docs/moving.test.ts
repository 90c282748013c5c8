import { randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { serverCert } from '../helpers/certs.js'
import { connect, PROTOCOLS } from '../helpers/client.js'
import { blocks, countBlocks, runShell } from '../helpers/docs.js'
import { runModule } from '../helpers/process.js'
import type { TicketStats } from '../../lib/manager/stats.js'

const FILE = 'docs/moving-from-nodejs.md'
const [oldKey = '', newSecret = '', ownFile = '', oldTimer = '', newTimer = '', ...more] = blocks(FILE, 'js')
const [makeSecret = '', ...others] = blocks(FILE, 'sh')
t.equal(more.length + others.length, 0)
t.equal(countBlocks(FILE), 6, 'every block is run')

interface Host {
  port: number
  /** Returns the manager's statistics, and the result of the server's `getTicketKeys` in hex. */
  look: () => Promise<{ stats?: TicketStats, source?: string, nodeKey: string }>
}

/** Runs a block of the page as a host. Paths below /etc are moved to `root`. */
async function host (t: Test, code: string, root: string): Promise<Host> {
  const { key, cert } = await serverCert()
  const moved = code.replaceAll("'/etc/", `'${root}/etc/`).replaceAll("'fastify-ticket-keys'", "'../../lib/index.js'")
  const running = runModule(`
    import { listen as listenHere } from '../helpers/server.js'
    const { KEY: key, CERT: cert } = process.env
    const handler = (request, response) => { response.end() }
    ${moved}
    const manager = typeof keys === 'undefined' ? undefined : keys
    process.on('message', () => {
      process.send({ stats: manager?.stats(), source: manager?.status().source, nodeKey: server.getTicketKeys().toString('hex') })
    })
    process.send(await listenHere(server))
  `, { env: { KEY: key, CERT: cert } })
  t.teardown(running.stop)
  const port = await running.next() as number
  return {
    port,
    look: async () => {
      running.send('look')
      return await running.next() as Awaited<ReturnType<Host['look']>>
    }
  }
}

function makeRoot (t: Test): string {
  const root = t.testdir({ etc: { web: {} } })
  const ticketKey = randomBytes(48)
  writeFileSync(join(root, 'etc/web/ticket.key'), ticketKey, { mode: 0o400 })
  writeFileSync(join(root, 'etc/web/ticket.keys'), Buffer.concat([ticketKey, randomBytes(48)]), { mode: 0o400 })
  return root
}

t.test('each block after a move serves and resumes; old tickets do not resume, even under the same 48 bytes', async (t) => {
  const root = makeRoot(t)
  mkdirSync(join(root, '.bin'))
  await runShell(makeSecret.replaceAll('/etc/', `${root}/etc/`), root)
  const before = await host(t, oldKey, root)
  const after = await Promise.all([newSecret, ownFile, newTimer].map((code) => host(t, code, root)))
  t.same(await Promise.all(after.map(async ({ look }) => (await look()).source)), ['secret', 'file', 'memory'])
  for (const protocol of PROTOCOLS) {
    const { session } = await connect({ port: before.port, protocol })
    t.equal((await connect({ port: before.port, protocol, session })).reused, true, 'plain Node.js resumes its own ticket')
    for (const { port } of after) {
      const moved = await connect({ port, protocol, session })
      t.equal(moved.reused, false, 'one full handshake, and no error')
      t.equal((await connect({ port, protocol, session: moved.session })).reused, true, 'and then a ticket of this package')
      t.equal((await connect({ port: before.port, protocol, session: moved.session })).reused, false,
        'a host that was not moved refuses that ticket')
    }
  }
  const [secret, file] = await Promise.all(after.map(({ look }) => look()))
  t.match(file?.stats?.rejected, { 'TLSv1.2': { bad_ticket: 1, unknown_key: 0 }, 'TLSv1.3': { bad_ticket: 1, unknown_key: 0 } },
    'the same key: bad_ticket')
  t.match(secret?.stats?.rejected,
    { 'TLSv1.2': { bad_ticket: 0, unknown_key: 1 }, 'TLSv1.3': { bad_ticket: 0, unknown_key: 1 } }, 'other keys: unknown_key')
})

t.test('the timer of plain Node.js ends every session; the block that replaces it does not', async (t) => {
  const root = makeRoot(t)
  const quick = (code: string): string => code.replace('3_600_000', '100').replace("'1h'", "'1s', ticketLifetime: '1m'")
  const [before, after] = await Promise.all([host(t, quick(oldTimer), root), host(t, quick(newTimer), root)])
  /** Returns whether a session still resumes after the key has changed. */
  const survives = async ({ port, look }: Host): Promise<boolean> => {
    const mark = async (): Promise<string> => {
      const { nodeKey, stats } = await look()
      return String(stats?.rotations ?? nodeKey)
    }
    const { session } = await connect({ port })
    const first = await mark()
    while (await mark() === first);
    return (await connect({ port, session })).reused
  }
  t.equal(await survives(before), false)
  t.equal(await survives(after), true)
})

t.test('what to remove: the option and the method have no effect, and each logs a warning', async (t) => {
  const running = await host(t, `
    import { createServer } from 'node:https'
    import { createTicketKeys } from 'fastify-ticket-keys'
    const server = createServer({ key, cert, ticketKeys: Buffer.alloc(48, 1) }, handler)
    const lines = []
    const log = { info () {}, warn (line) { lines.push(line) }, error () {} }
    const keys = await createTicketKeys({ environment: false, log })
    keys.attach(server)
    server.setTicketKeys(Buffer.alloc(48, 2))
    const warned = lines.filter((line) => line.includes('no effect'))
    if (warned.length !== 2) throw new Error(lines.join())
  `, '')
  const { nodeKey } = await running.look()
  t.equal(nodeKey, '02'.repeat(48), 'getTicketKeys still returns the key of plain Node.js')
  const { session } = await connect({ port: running.port })
  t.equal((await connect({ port: running.port, session })).reused, true)
})
