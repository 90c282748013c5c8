// Usage: npx tsx scripts/soak.ts [handshakes]. Prints resident memory and counts during many handshakes. This process is the server, and
// rotates its keys every second. Two client processes use each TLS 1.3 ticket once.
import { fork } from 'node:child_process'
import { createServer } from 'node:https'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { createTicketKeys } from 'fastify-ticket-keys'
import { serverCert } from '../test/helpers/certs.js'
import { SingleUseClient } from '../test/helpers/client.js'

const { argv } = process
if (argv[2] === 'client') {
  const client = new SingleUseClient({ port: Number(argv[3]), protocol: 'TLSv1.3', rejectUnauthorized: false })
  for (let left = Number(argv[4]); left > 0; left--) await client.connect()
  process.send?.({ full: client.full, resumed: client.resumed })
} else {
  const wanted = Number(argv[2] ?? 100_000)
  const keys = await createTicketKeys({ rotationInterval: '1s', ticketLifetime: '60s', environment: false })
  const { key, cert } = await serverCert()
  const server = createServer({ key, cert }, (_request, response) => response.end('ok'))
  keys.attach(server)
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  const { port } = server.address() as { port: number }
  const results: object[] = []
  for (let i = 0; i < 2; i++) {
    fork(fileURLToPath(import.meta.url), ['client', String(port), String(wanted / 2)]).on('message', (result) =>
      results.push(result as object)
    )
  }
  const done = (): number => Object.values(keys.stats().handshakes).reduce((sum, { full, resumed }) => sum + full + resumed, 0)
  let shown = 0
  while (results.length < 2) {
    await sleep(100)
    if (done() < shown) continue
    const { rss, heapUsed, external } = process.memoryUsage()
    const mib = (bytes: number): string => (bytes / 1_048_576).toFixed(1)
    const memory = `resident ${mib(rss)} MiB, heap ${mib(heapUsed)}, external ${mib(external)}`
    console.log(`${done()} handshakes: ${memory}, rotations ${keys.stats().rotations}`)
    shown += wanted / 10
  }
  console.log(results, keys.stats().handshakes['TLSv1.3'], keys.stats().resumed)
  server.close()
  await keys.close()
}
