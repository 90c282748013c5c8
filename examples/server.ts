// A Fastify HTTPS server on loopback with managed session ticket keys. Its metrics are on a separate port.
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
// Anybody who can read a session file can resume the session. Keep the file beside the server's private key, in a directory of mode 0700.
const client = (version: string, session: string): string =>
  `  ${get} | openssl s_client -quiet -connect ${host} ${version} ${session} 2>/dev/null`

console.log(`
Listening at ${url}. Each answer shows whether the connection was resumed from a session ticket.

One curl command makes two connections. The header closes the first connection. The second answer has "resumed":true:
  curl -sk --http1.1 -H 'connection: close' -w '\\n' ${url}/ ${url}/

OpenSSL, TLS 1.3. The first command saves the ticket in a file. The second command presents the ticket and prints "resumed":true:
${client('-tls1_3', `-sess_out ${certificates}/ticket13.pem`)}
${client('-tls1_3', `-sess_in ${certificates}/ticket13.pem`)}

OpenSSL, TLS 1.2:
${client('-tls1_2', `-sess_out ${certificates}/ticket12.pem`)}
${client('-tls1_2', `-sess_in ${certificates}/ticket12.pem`)}

The Prometheus metrics, and the timetable of the keys:
  curl -s ${metricsUrl}/metrics
  curl -s ${metricsUrl}/metrics/ticket-keys

Test from outside whether this server issues, resumes and renews:
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
