import t from 'tap'
import { serverCert } from '../helpers/certs.js'
import { runModule } from '../helpers/process.js'

/** Its thread ends, as its argument says, when the callback is asked for the first time. */
const MODULE = `
import { once } from 'node:events'
import { connect, createServer } from 'node:tls'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { setTicketKeyCallback } from '../../lib/index.js'
import { certificate } from '../helpers/cluster-program.js'
import { threadCode } from '../helpers/typescript.js'

if (isMainThread) {
  const worker = new Worker(threadCode(import.meta.url), { eval: true, execArgv: [], workerData: process.argv[2] })
  worker.on('message', async (message) => {
    if (message === 'asked') return await worker.terminate()
    connect({ port: message, host: '127.0.0.1', rejectUnauthorized: false }).on('error', () => {})
  })
  await once(worker, 'exit')
  process.send('goes on')
  process.disconnect()
} else {
  const server = createServer(certificate())
  setTicketKeyCallback(server, () => {
    if (workerData === 'exit') process.exit()
    parentPort.postMessage('asked')
    for (;;) {}
  })
  server.listen(0, '127.0.0.1', () => { parentPort.postMessage(server.address().port) })
}
`

for (const how of ['terminate', 'exit']) {
  t.test(`a thread that ends (${how}) during its callback does not affect other threads`, async (t) => {
    const { key, cert } = await serverCert()
    const running = runModule(MODULE, { args: [how], coverage: false, env: { TEST_KEY: key, TEST_CERT: cert } })
    t.teardown(running.stop)
    t.equal(await running.next(), 'goes on')
    t.same(await running.exit, { code: 0, signal: null })
  })
}
