// A Fastify HTTPS server that takes over a renewed certificate without a restart. Its clients go on resuming their sessions.
//   npx tsx examples/certificate-reload.ts                               port 8443, a certificate for localhost
//   KEY_FILE=key.pem CERT_FILE=cert.pem npx tsx examples/certificate-reload.ts   your certificate, with its chain
// Replace the two files. The server reads them within a minute (CHECK_MS), and at once after: kill -HUP PID
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import Fastify from 'fastify'
import ticketKeys from 'fastify-ticket-keys'
import { localCertificate } from './certificate.js'

const local = fileURLToPath(new URL('.certificate', import.meta.url))
const { KEY_FILE: keyFile = join(local, 'key.pem'), CERT_FILE: certFile = join(local, 'cert.pem') } = process.env
if (process.env['KEY_FILE'] === undefined) await localCertificate(local)

/** Reads the pair. Throws while only one of the two files has been replaced. */
function readCertificate (): { key: string, cert: string } {
  const [key, cert] = [readFileSync(keyFile, 'utf8'), readFileSync(certFile, 'utf8')]
  if (!new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))) throw new Error(`${keyFile} is not the key of ${certFile}`)
  return { key, cert }
}

let current = readCertificate()
const app = Fastify({ https: current, logger: true })
await app.register(ticketKeys)
app.get('/', async (request) => ({ resumed: request.tlsSession?.resumed }))

function renewCertificate (): void {
  try {
    const next = readCertificate()
    if (next.key === current.key && next.cert === current.cert) return
    // Give all TLS options of the server again, such as ca, minVersion and ciphers. Those left out get their defaults.
    app.server.setSecureContext(next)
    current = next
    app.log.info(`new certificate, valid to ${new X509Certificate(next.cert).validTo}`)
  } catch (error) {
    app.log.error({ err: error }, 'the certificate cannot be renewed, and the server keeps the old one')
  }
}

process.on('SIGHUP', renewCertificate)
setInterval(renewCertificate, Number(process.env['CHECK_MS'] ?? 60_000)).unref()

await app.listen({ host: process.env['HOST'] ?? '127.0.0.1', port: Number(process.env['PORT'] ?? 8443) })

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    app.close().catch((error: unknown) => { app.log.error({ err: error }, 'the server did not close') })
  })
}
