import { X509Certificate } from 'node:crypto'
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { makeCa, serverCert } from '../helpers/certs.js'
import { connect, connectH2, PROTOCOLS } from '../helpers/client.js'
import { ROOT } from '../helpers/docs.js'
import { until } from '../helpers/process.js'

const HTTP1 = { alpn: ['http/1.1'] }

t.test('examples/client-certificate.ts reads the tenant back from the ticket, over HTTP/1.1 and HTTP/2', async (t) => {
  const [{ key, cert }, ca] = await Promise.all([serverCert(), makeCa('clients')])
  const [known, unknown] = await Promise.all(['known', 'unknown'].map(async (name) => await ca.issue({ name, client: true })))
  if (known === undefined || unknown === undefined) throw new Error('no certificates')
  const example = fileURLToPath(new URL('examples/client-certificate.ts', ROOT))
  const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), example], {
    env: {
      ...process.env,
      NODE_OPTIONS: undefined,
      PORT: '0',
      KEY: key,
      CERT: cert,
      CA: ca.cert,
      TENANTS: JSON.stringify({ [new X509Certificate(known.cert).fingerprint256]: 'acme' })
    },
    stdio: ['ignore', 'pipe', 'inherit']
  })
  const exit = new Promise((resolve) => { child.once('exit', resolve) })
  t.teardown(async () => {
    child.kill()
    await exit
  })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (data: string) => { output += data })
  const port = (): number => Number(/https:\/\/127\.0\.0\.1:(\d+)/.exec(output)?.[1])
  await until(() => port() > 0)

  for (const protocol of PROTOCOLS) {
    for (const [name, via, options] of [['HTTP/1.1', connect, HTTP1], ['HTTP/2', connectH2, {}]] as const) {
      const first = await via({ port: port(), protocol, ...known, ...options })
      const second = await via({ port: port(), protocol, ...known, ...options, session: first.session })
      t.strictSame([first, second].map(({ body }) => JSON.parse(body) as unknown),
        [{ tenant: 'acme', resumed: false }, { tenant: 'acme', resumed: true }], `${protocol}, ${name}`)
      const { status } = await via({ port: port(), protocol, ...unknown, ...options })
      t.equal(status, 403, `${protocol}, ${name}: a verified client without a tenant`)
    }
  }
})
