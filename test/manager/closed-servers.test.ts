import { once } from 'node:events'
import { createServer } from 'node:https'
import t from 'tap'
import { connect } from '../helpers/connect.js'
import { serverCert } from '../helpers/certs.js'
import { manage } from '../helpers/managed.js'
import { runModule } from '../helpers/process.js'
import { closeAll, listen, plainHttps } from '../helpers/server.js'

t.teardown(closeAll)

t.test('status() counts the servers that are open', async (t) => {
  const { keys } = await manage(t)
  const first = await plainHttps()
  const second = await plainHttps()
  keys.attach(first.server).attach(second.server)
  t.equal(keys.status().servers, 2)
  second.server.close()
  await once(second.server, 'close')
  t.equal(keys.status().servers, 1)
})

t.test('a closed server that listens again is managed as before', async (t) => {
  const { keys } = await manage(t)
  const { key, cert } = await serverCert()
  const server = createServer({ key, cert }, (_request, response) => { response.end('answer') })
  const before = server.listenerCount('listening')
  keys.attach(server)
  const { session } = await connect({ port: await listen(server), protocol: 'TLSv1.3' })
  server.close()
  await once(server, 'close')
  t.equal(keys.status().servers, 0)
  const port = await listen(server)
  t.equal(keys.status().servers, 1)
  t.equal((await connect({ port, protocol: 'TLSv1.3', session })).reused, true)
  await keys.close()
  t.equal(server.listenerCount('listening'), before, 'close() removes the listeners')
})

t.test('a closed manager lets go of a closed server too', async (t) => {
  const { keys } = await manage(t)
  const { server } = await plainHttps()
  const before = server.listenerCount('secureConnection')
  keys.attach(server)
  server.close()
  await once(server, 'close')
  await keys.close()
  t.equal(server.listenerCount('secureConnection'), before)
})

t.test('closed servers are collected, and servers that never listened', async (t) => {
  const { key, cert } = await serverCert()
  const program = runModule(`
    import { once } from 'node:events'
    import { createServer } from 'node:https'
    import { setTimeout as sleep } from 'node:timers/promises'
    import { createTicketKeys } from '../../lib/index.js'

    const { key, cert } = JSON.parse(process.env.CERT)
    const keys = await createTicketKeys({ environment: false })
    const servers = []
    for (let i = 0; i < 50; i++) {
      const idle = createServer({ key, cert })
      keys.attach(idle)
      servers.push(new WeakRef(idle))
      const server = createServer({ key, cert })
      keys.attach(server)
      await once(server.listen(0, '127.0.0.1'), 'listening')
      await once(server.close(), 'close')
      servers.push(new WeakRef(server))
    }
    let left = servers.length
    for (let i = 0; i < 50 && left > 3; i++) {
      await sleep(10)
      gc()
      left = servers.filter((server) => server.deref() !== undefined).length
    }
    keys.attach(createServer({ key, cert }))
    process.send({ left, servers: keys.status().servers })
    await keys.close()
  `, { execArgv: ['--expose-gc'], env: { CERT: JSON.stringify({ key, cert }) } })
  t.teardown(program.stop)
  const { left, servers } = await program.next() as { left: number, servers: number }
  // Variables on the stack may still refer to the last servers.
  t.ok(left <= 3, `${left} of 100 are left`)
  t.ok(servers >= 1 && servers <= left + 1, `status() counts ${servers}`)
})
