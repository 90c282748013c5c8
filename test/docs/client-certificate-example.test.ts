import { X509Certificate } from 'node:crypto'
import t from 'tap'
import { makeCa, serverCert } from '../helpers/certs.js'
import { connect, connectH2, PROTOCOLS } from '../helpers/client.js'
import { runExample } from '../helpers/example.js'

const HTTP1 = { alpn: ['http/1.1'] }

t.test('examples/client-certificate.ts reads the tenant back from the ticket, over HTTP/1.1 and HTTP/2', async (t) => {
  const [{ key, cert }, ca] = await Promise.all([serverCert(), makeCa('clients')])
  const [known, unknown] = await Promise.all(['known', 'unknown'].map(async (name) => await ca.issue({ name, client: true })))
  if (known === undefined || unknown === undefined) throw new Error('no certificates')
  const { port } = await runExample(t, 'examples/client-certificate.ts', {
    KEY: key,
    CERT: cert,
    CA: ca.cert,
    TENANTS: JSON.stringify({ [new X509Certificate(known.cert).fingerprint256]: 'acme' })
  })

  for (const protocol of PROTOCOLS) {
    for (const [name, via, options] of [['HTTP/1.1', connect, HTTP1], ['HTTP/2', connectH2, {}]] as const) {
      const first = await via({ port, protocol, ...known, ...options })
      const second = await via({ port, protocol, ...known, ...options, session: first.session })
      t.strictSame([first, second].map(({ body }) => JSON.parse(body) as unknown),
        [{ tenant: 'acme', resumed: false }, { tenant: 'acme', resumed: true }], `${protocol}, ${name}`)
      const { status } = await via({ port, protocol, ...unknown, ...options })
      t.equal(status, 403, `${protocol}, ${name}: a verified client without a tenant`)
    }
  }
})
