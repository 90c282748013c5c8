import { once } from 'node:events'
import { connect as connectTls } from 'node:tls'
import t from 'tap'
import type { Test } from 'tap'
import { serverCert } from '../helpers/certs.js'
import { connect } from '../helpers/client.js'
import { blocks, countBlocks, onlyBlock } from '../helpers/docs.js'
import { runModule, type RunningModule } from '../helpers/process.js'

const FILE = 'docs/shutting-down.md'
const [code = ''] = blocks(FILE, 'ts')
const deployment = onlyBlock(FILE, 'yaml', '## Kubernetes')
const unit = onlyBlock(FILE, 'ini', '## systemd')
t.equal(countBlocks(FILE), 3)

const DEADLINE_S = Number(/DEADLINE_MS = ([\d_]+)/.exec(code)?.[1]?.replace('_', '')) / 1000

/** Runs a server with the code of the page. A request to `/slow` is answered when the test sends a message. */
async function start (t: Test, deadline: string): Promise<RunningModule & { port: number }> {
  const { key, cert } = await serverCert()
  const running = runModule(`
    import Fastify from 'fastify'
    import ticketKeys from '../../lib/index.js'
    const app = Fastify({ https: { key: process.env.KEY, cert: process.env.CERT } })
    await app.register(ticketKeys, { environment: false })
    const answer = new Promise((resolve) => process.once('message', resolve))
    app.get('/slow', async () => {
      process.send('asked')
      await answer
      return \`\${app.ticketKeys.status().keys.length > 0 ? 'with' : 'without'} keys\`
    })
    app.get('/', async () => 'quick')
    ${code.replace('25_000', deadline)}
    process.once('exit', () => { console.log(app.ticketKeys.status().keys.length, 'keys left') })
    await app.listen({ host: '127.0.0.1', port: 0 })
    process.send(app.server.address().port)
  `, { env: { KEY: key, CERT: cert } })
  t.teardown(running.stop)
  return { ...running, port: await running.next() as number }
}

t.test('a stop finishes the request in progress with its keys, refuses new connections, and erases the keys', async (t) => {
  const running = await start(t, '25_000')
  const slow = connect({ port: running.port, request: '/slow' })
  await running.next()
  running.child.kill('SIGTERM')
  const refused = async (): Promise<boolean> =>
    await connect({ port: running.port }).then(() => false, ({ code }: { code: string }) => code === 'ECONNREFUSED')
  while (!await refused());
  running.send('answer')
  t.equal((await slow).body, 'with keys')
  t.same(await running.exit, { code: 0, signal: null })
  t.match(running.output(), /^0 keys left$/m)
})

t.test('a client that keeps its connection busy cannot delay the stop beyond the deadline', async (t) => {
  const running = await start(t, '500')
  const socket = connectTls({ port: running.port, host: '127.0.0.1', rejectUnauthorized: false })
  socket.on('error', () => {})
  await once(socket, 'secureConnect')
  socket.write('GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await running.next()
  running.child.kill('SIGINT')
  t.same(await running.exit, { code: 1, signal: null })
  socket.destroy()
})

t.test('Kubernetes and systemd wait longer than the deadline', async (t) => {
  const [, grace] = /^ {6}terminationGracePeriodSeconds: (\d+)$/m.exec(deployment) ?? []
  const [, sleep] = /^ {14}exec:\n {16}command: \[sleep, '(\d+)'\]$/m.exec(deployment) ?? []
  t.ok(Number(grace) > Number(sleep) + DEADLINE_S, `${grace} > ${sleep} + ${DEADLINE_S}`)
  const [, timeout] = /^TimeoutStopSec=(\d+)$/m.exec(unit) ?? []
  t.ok(Number(timeout) > DEADLINE_S, `${timeout} > ${DEADLINE_S}`)
  t.match(unit, /^KillMode=mixed$/m)
})
