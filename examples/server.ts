// A Fastify HTTPS server with managed session ticket keys, on loopback, and its metrics on a port of their own.
//   npm start                       ports 8443 and 9464
//   PORT=0 METRICS_PORT=0 npm start any free ports
import { fileURLToPath } from 'node:url'
import Fastify from 'fastify'
import ticketKeys from 'fastify-ticket-keys'
import { localCertificate } from './certificate.js'

const certificates = fileURLToPath(new URL('.certificate', import.meta.url))
const app = Fastify({ https: await localCertificate(certificates), logger: { level: 'warn' } })
const internal = Fastify()

await app.register(ticketKeys, { metrics: { instance: internal } })

app.get('/', async (request) => request.tlsSession)

const url = await app.listen({ host: '127.0.0.1', port: Number(process.env['PORT'] ?? 8443) })
const metricsUrl = await internal.listen({ host: '127.0.0.1', port: Number(process.env['METRICS_PORT'] ?? 9464) })
const { host } = new URL(url)

const get = "printf 'GET / HTTP/1.0\\r\\n\\r\\n'"
// Whoever has a session's file can go on with the session: it lies beside the server's key, where nobody else looks.
const client = (version: string, session: string): string =>
  `  ${get} | openssl s_client -quiet -connect ${host} ${version} ${session} 2>/dev/null`

console.log(`
Listening at ${url}. Each answer says whether its connection was resumed from a session ticket.

Two connections of one curl, which would keep the first one open if it were not told to close it; the second answer has "resumed":true:
  curl -sk --http1.1 -H 'connection: close' -w '\\n' ${url}/ ${url}/

OpenSSL, TLS 1.3: the first command keeps the ticket in a file, the second shows it, and gets "resumed":true:
${client('-tls1_3', `-sess_out ${certificates}/ticket13.pem`)}
${client('-tls1_3', `-sess_in ${certificates}/ticket13.pem`)}

OpenSSL, TLS 1.2:
${client('-tls1_2', `-sess_out ${certificates}/ticket12.pem`)}
${client('-tls1_2', `-sess_in ${certificates}/ticket12.pem`)}

What Prometheus sees, and the keys' timetable:
  curl -s ${metricsUrl}/metrics
  curl -s ${metricsUrl}/metrics/ticket-keys

Whether this server issues, resumes and renews, as its clients see it:
  npx fastify-ticket-keys probe --insecure ${host}

Stop with Ctrl+C.
`)

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    Promise.all([app.close(), internal.close()]).catch((error: unknown) => {
      console.error(error)
      process.exitCode = 1
    })
  })
}
