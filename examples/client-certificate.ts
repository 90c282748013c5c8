// Maps client certificates to tenants. The map is read once per full handshake. Resumed connections get the tenant from
// the ticket, without reading a certificate. Serves HTTP/2 and HTTP/1.1.
//   npx tsx examples/client-certificate.ts
// KEY, CERT: PEM of the server. CA: PEM of the authority that issues the client certificates. TENANTS: a JSON object that
// maps the SHA-256 fingerprint of a client certificate to the tenant's name. PORT: default 8443.
import { X509Certificate } from 'node:crypto'
import Fastify from 'fastify'
import ticketKeys, { type AuthenticatedSession } from 'fastify-ticket-keys'

const { KEY = '', CERT = '', CA = '', TENANTS = '{}', PORT = '8443' } = process.env
const tenants = JSON.parse(TENANTS) as Record<string, string>

function tenantOf ({ authorized, chain: [certificate] }: AuthenticatedSession): Buffer | null {
  if (!authorized || certificate === undefined) return null
  const tenant = tenants[new X509Certificate(certificate).fingerprint256]
  return tenant === undefined ? null : Buffer.from(tenant)
}

const app = Fastify({
  http2: true,
  https: { key: KEY, cert: CERT, ca: CA, requestCert: true, rejectUnauthorized: true, allowHTTP1: true }
})
await app.register(ticketKeys, { sessionData: tenantOf })

app.get('/', async ({ tlsSession }, reply) => {
  const tenant = tlsSession?.data
  if (tenant === null || tenant === undefined) return await reply.code(403).send({ error: 'no tenant has this certificate' })
  return { tenant: tenant.toString(), resumed: tlsSession?.resumed }
})

console.log(await app.listen({ host: '127.0.0.1', port: Number(PORT) }))
