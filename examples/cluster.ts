// A Fastify HTTPS server on loopback, in four cluster workers that share their session ticket keys. One page serves all workers' metrics.
//   npx tsx examples/cluster.ts                       ports 8443 and 9464
//   PORT=0 METRICS_PORT=0 npx tsx examples/cluster.ts any free ports
import cluster from 'node:cluster'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import Fastify from 'fastify'
import ticketKeys from 'fastify-ticket-keys'
import { shareTicketKeys } from 'fastify-ticket-keys/cluster'
import { AggregatorRegistry, register } from 'prom-client'
import { localCertificate } from './certificate.js'

const WORKERS = 4
const certificates = fileURLToPath(new URL('.certificate', import.meta.url))
// In the primary, the aggregator asks the workers. In a worker, it answers with the default registry.
const aggregator = new AggregatorRegistry()

if (cluster.isPrimary) await startPrimary()
else await startWorker()

async function startPrimary (): Promise<void> {
  await localCertificate(certificates)
  // Share before the first fork: a worker then waits for the keys, and has them before it listens.
  shareTicketKeys()
  for (let i = 0; i < WORKERS; i++) cluster.fork()
  const listened = new Set<number>()
  cluster.on('listening', ({ id }) => { listened.add(id) })
  cluster.on('exit', ({ id, exitedAfterDisconnect }) => {
    // Sessions that this worker issued resume in the other workers and in the replacement. A worker that ended before it listened, for
    // example because its port is taken, gets no replacement, which would end in the same way.
    if (!exitedAfterDisconnect && listened.has(id)) cluster.fork()
  })

  const metrics = createServer((_request, response) => {
    aggregator.clusterMetrics().then(
      (page) => { response.setHeader('content-type', aggregator.contentType).end(page) },
      (error: Error) => { response.writeHead(500).end(error.message) }
    )
  })
  metrics.listen(Number(process.env['METRICS_PORT'] ?? 9464), '127.0.0.1', () => {
    const { port } = metrics.address() as AddressInfo
    console.log(`The metrics of all workers: curl -s http://127.0.0.1:${port}/metrics`)
  })

  cluster.once('listening', (_worker, { port }) => {
    console.log(`Listening at https://127.0.0.1:${port}. Each answer shows its worker, and whether the connection was resumed:`)
    console.log(`  curl -sk --http1.1 -H 'connection: close' https://127.0.0.1:${port}/ https://127.0.0.1:${port}/`)
  })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      metrics.close()
      cluster.disconnect()
    })
  }
}

async function startWorker (): Promise<void> {
  // Ctrl+C and systemd signal every process. Ignore the signals here: the primary ends the workers.
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => {})
  const app = Fastify({ https: await localCertificate(certificates), logger: { level: 'warn' } })
  // Prometheus scrapes the primary. With `register` and without `path`, the plugin adds no metrics routes here.
  await app.register(ticketKeys, { metrics: { register } })
  app.get('/', async (request) => ({ worker: process.pid, resumed: request.tlsSession?.resumed }))
  await app.listen({ host: '127.0.0.1', port: Number(process.env['PORT'] ?? 8443) })
  process.once('disconnect', () => {
    app.close().catch((error: unknown) => { app.log.error(error) })
  })
}
