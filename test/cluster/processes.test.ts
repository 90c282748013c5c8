import { randomBytes } from 'node:crypto'
import t, { type Test } from 'tap'
import { serverCert } from '../helpers/certs.js'
import { connect, PROTOCOLS, type Protocol } from '../helpers/client.js'
import { startHost, type Host } from '../helpers/host.js'
import { runModule } from '../helpers/process.js'

/** Keys as the environment has them: Buffers don't go to another process as they are. */
function staticKeys (...keys: Buffer[]): { environment: { data: Record<string, string> } } {
  return { environment: { data: { TICKET_KEYS: keys.map((key) => key.toString('base64')).join() } } }
}

/** A session from one host at another: whether it resumed, and what both counted for it. */
async function move (
  from: Host,
  to: Host,
  protocol: Protocol
): Promise<{ reused: boolean, resumed: number, rejected: Record<string, number> }> {
  const before = (await to.report()).stats
  const { session } = await connect({ port: from.port, protocol })
  const { reused } = await connect({ port: to.port, protocol, session })
  const after = (await to.report()).stats
  const rejected = Object.entries(after.rejected[protocol]).filter(
    ([reason, count]) => count !== Object.entries(before.rejected[protocol]).find(([name]) => name === reason)?.[1]
  )
  return { reused, resumed: after.resumed[protocol] - before.resumed[protocol], rejected: Object.fromEntries(rejected) }
}

t.test("processes with the same static keys resume each other's sessions, but not with different sessionIdContexts", async (t) => {
  const [first, second] = [randomBytes(80), randomBytes(80)] as const
  const [one, two, other] = await Promise.all([
    startHost(t, staticKeys(first, second), 0, ['--one']),
    startHost(t, staticKeys(second, first), 0, ['--two', 'with', 'more arguments']),
    startHost(t, { ...staticKeys(first, second), sessionIdContext: 'another' }, 0, ['--one'])
  ])
  for (const protocol of PROTOCOLS) {
    t.same(await move(one, two, protocol), { reused: true, resumed: 1, rejected: {} })
    t.same(await move(two, one, protocol), { reused: true, resumed: 1, rejected: {} })
    t.same(await move(other, other, protocol), { reused: true, resumed: 1, rejected: {} })
    t.same(await move(one, other, protocol), { reused: false, resumed: 0, rejected: { context: 1 } })
    t.same(await move(other, two, protocol), { reused: false, resumed: 0, rejected: { context: 1 } })
  }
})

const THREADS = `
  import { once } from 'node:events'
  import { createServer } from 'node:https'
  import { isMainThread, parentPort, Worker } from 'node:worker_threads'
  import { connect } from '../helpers/connect.js'
  import { listen, closeAll } from '../helpers/server.js'
  import { threadCode } from '../helpers/typescript.js'

  const { key, cert, close, loadHere } = JSON.parse(process.env.THREADS)

  // A server under a manager of its own, that resumes over both versions.
  async function serve () {
    const { createTicketKeys } = await import('../../lib/index.js')
    const keys = await createTicketKeys({ environment: false })
    const server = createServer({ key, cert }, (request, response) => { response.end('here') })
    keys.attach(server)
    const port = await listen(server)
    const reused = []
    for (const protocol of ['TLSv1.2', 'TLSv1.3']) {
      const options = { port, protocol, rejectUnauthorized: false }
      const { session } = await connect(options)
      reused.push((await connect({ ...options, session })).reused)
    }
    if (close) {
      await closeAll()
      await keys.close()
    }
    return reused
  }

  // A handshake in this thread, with OpenSSL as the Worker has left it.
  async function plain () {
    const port = await listen(createServer({ key, cert }, (request, response) => { response.end('plain') }))
    const { body } = await connect({ port, rejectUnauthorized: false })
    await closeAll()
    return body
  }

  if (isMainThread) {
    const told = []
    if (loadHere) told.push(await serve())
    for (let i = 0; i < 3; i++) {
      const worker = new Worker(threadCode(import.meta.url), { eval: true, execArgv: [] })
      const [[reused]] = await Promise.all([once(worker, 'message'), once(worker, 'exit')])
      told.push(reused, await plain())
      gc()
    }
    told.push(await serve(), await plain())
    process.send(told, () => { process.exit() })
  } else {
    const reused = await serve()
    parentPort.postMessage(reused)
    // With servers and managers left open: the thread takes them with it.
    if (!close) process.exit()
  }
`

async function threads (t: Test, options: { close: boolean, loadHere: boolean }): Promise<void> {
  const { key, cert } = await serverCert()
  const running = runModule(THREADS, { execArgv: ['--expose-gc'], env: { THREADS: JSON.stringify({ key, cert, ...options }) } })
  t.teardown(running.stop)
  const both = [true, true]
  const told = await running.next()
  t.same(told, [...options.loadHere ? [both] : [], ...Array.from({ length: 3 }, () => [both, 'plain']).flat(), both, 'plain'])
  t.match(await running.exit, { code: 0, signal: null }, running.output())
}

for (const loadHere of [false, true]) {
  for (const close of [true, false]) {
    const [when, how] = [loadHere ? 'after the main thread' : 'first', close ? 'after' : 'without']
    t.test(`worker threads load the addon ${when}, attach, exit ${how} closing, and load it again`, async (t) => {
      await threads(t, { close, loadHere })
    })
  }
}
