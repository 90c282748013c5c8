import { X509Certificate } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import t from 'tap'
import { serverCert } from '../helpers/certs.js'
import { connect, connectH2, flipBit, PROTOCOLS, relay, type ConnectOptions } from '../helpers/client.js'
import { full, resumed } from '../helpers/ledger.js'
import { closeAll, plainHttp2, plainHttps, plainTls } from '../helpers/server.js'
import { issues, resumes, start } from '../helpers/served.js'

t.teardown(closeAll)

const kinds = [
  { name: 'https.createServer', plain: plainHttps, via: connect, options: {} },
  { name: 'tls.createServer', plain: plainTls, via: connect, options: {} },
  { name: 'http2.createSecureServer', plain: plainHttp2, via: connectH2, options: {} },
  {
    name: 'http2.createSecureServer with allowHTTP1, asked for HTTP/1.1',
    plain: () => plainHttp2({ allowHTTP1: true }),
    via: connect,
    options: { alpn: ['http/1.1'] }
  }
]

for (const protocol of PROTOCOLS) {
  for (const { name, plain, via, options } of kinds) {
    t.test(`${protocol}: ${name} resumes under managed keys`, async (t) => {
      const served = await start(t, plain)
      const { session, body, alpn } = await issues(served, protocol, () => via({ port: served.port, protocol, ...options }))
      t.equal(body, 'reused=false')
      t.equal(alpn, via === connectH2 ? 'h2' : options.alpn?.[0] ?? false)
      const again = await resumes(served, protocol, () => via({ port: served.port, protocol, session, ...options }))
      t.equal(again.body, 'reused=true')
      await served.keys.rotate()
      await served.ledger.step('after a rotation', resumed(protocol, { renewed: true }), () =>
        via({ port: served.port, protocol, session, ...options })
      )
    })
  }

  t.test(`${protocol}: an HTTP/2 session resumes over HTTP/1.1, and the reverse`, async (t) => {
    const served = await start(t, () => plainHttp2({ allowHTTP1: true }))
    const { port } = served
    const h2 = await issues(served, protocol, () => connectH2({ port, protocol }))
    t.match(
      await resumes(served, protocol, () => connect({ port, protocol, session: h2.session, alpn: ['http/1.1'] })),
      { alpn: 'http/1.1', body: 'reused=true' }
    )
    const h1 = await issues(served, protocol, () => connect({ port, protocol }))
    t.match(await resumes(served, protocol, () => connectH2({ port, protocol, session: h1.session })), { alpn: 'h2', body: 'reused=true' })
  })

  t.test(`${protocol}: after setSecureContext with a new certificate, old tickets still resume`, async (t) => {
    const served = await start(t)
    const { port, server } = served
    const { ca, cert } = await serverCert()
    const old = await issues(served, protocol, () => connect({ port, protocol }))
    t.equal(old.fingerprint, new X509Certificate(cert).fingerprint256)
    for (let i = 0; i < 3; i++) {
      const next = await ca.issue({ name: 'localhost', hosts: ['127.0.0.1'] })
      server.setSecureContext({ key: next.key, cert: next.cert })
      const fresh = await issues(served, protocol, () => connect({ port, protocol }))
      t.equal(fresh.fingerprint, new X509Certificate(next.cert).fingerprint256, 'the new certificate is served')
      await resumes(served, protocol, () => connect({ port, protocol, session: old.session }))
      await resumes(served, protocol, () => connect({ port, protocol, session: fresh.session }))
    }
    await served.keys.rotate()
    await served.ledger.step('the tickets are renewed', resumed(protocol, { renewed: true }), () =>
      connect({ port, protocol, session: old.session })
    )
  })

  t.test(`${protocol}: hosts given to addContext before and after attach, including wildcard names, resume`, async (t) => {
    const { ca, key, cert } = await serverCert()
    const own = new X509Certificate(cert).fingerprint256
    const [a, b, wild] = await Promise.all(['a.test', 'b.test', '*.wild.test'].map((host) => ca.issue({ name: host, hosts: [host] })))
    const served = await start(t, async () => {
      const plain = await plainHttps()
      plain.server.addContext('a.test', a ?? {})
      return plain
    })
    const { port, server } = served
    server.addContext('b.test', b ?? {})
    server.addContext('*.wild.test', wild ?? {})
    const hosts = [['a.test', a?.cert], ['b.test', b?.cert], ['x.wild.test', wild?.cert], ['y.wild.test', wild?.cert]]
    for (const [servername, certificate] of hosts as Array<[string, string]>) {
      const { session, fingerprint } = await issues(served, protocol, () => connect({ port, protocol, servername }))
      t.equal(fingerprint, new X509Certificate(certificate).fingerprint256, servername)
      await resumes(served, protocol, () => connect({ port, protocol, servername, session }))
      server.setSecureContext({ key, cert })
      await resumes(served, protocol, () => connect({ port, protocol, servername, session }))
      const other = servername === 'a.test' ? 'b.test' : 'a.test'
      await served.ledger.step('not at another host', full(protocol, 'server_name'), () =>
        connect({ port, protocol, servername: other, session })
      )
    }
    const plain = await issues(served, protocol, () => connect({ port, protocol }))
    t.equal(plain.fingerprint, own)
    await resumes(served, protocol, () => connect({ port, protocol, session: plain.session }))
  })

  t.test(`${protocol}: a context chosen by an SNICallback resumes`, async (t) => {
    const { ca, cert } = await serverCert()
    const a = await ca.issue({ name: 'a.test', hosts: ['a.test'] })
    const context = createSecureContext(a)
    const asked: string[] = []
    const served = await start(t, () => plainHttps({
      SNICallback: (name, done) => {
        asked.push(name)
        setImmediate(() => { done(null, name === 'a.test' ? context : undefined) })
      }
    }))
    for (const [servername, certificate] of [['a.test', a.cert], ['b.test', cert]] as const) {
      const { session, fingerprint } = await issues(served, protocol, () => connect({ port: served.port, protocol, servername }))
      t.equal(fingerprint, new X509Certificate(certificate).fingerprint256)
      await resumes(served, protocol, () => connect({ port: served.port, protocol, servername, session }))
    }
    t.ok(asked.includes('a.test') && asked.includes('b.test'))
  })
}

t.test('after a HelloRetryRequest with SNI, the ticket resumes, and a refused ticket is counted once', async (t) => {
  const protocol = 'TLSv1.3'
  const { ca } = await serverCert()
  const a = await ca.issue({ name: 'a.test', hosts: ['a.test'] })
  const served = await start(t, async () => {
    const plain = await plainHttps({ ecdhCurve: 'P-384' })
    plain.server.addContext('a.test', { ...a, ecdhCurve: 'P-384' })
    return plain
  })
  const between = await relay(served.port)
  t.teardown(between.close)
  const retry: ConnectOptions = { port: between.port, protocol, servername: 'a.test', ecdhCurve: 'P-256:P-384' }
  const { session, fingerprint } = await issues(served, protocol, () => connect(retry))
  t.equal(fingerprint, new X509Certificate(a.cert).fingerprint256)
  const next = await resumes(served, protocol, () => connect({ ...retry, session }))
  await resumes(served, protocol, () => connect({ ...retry, session: next.session }))
  await served.ledger.step('a malformed ticket', full(protocol, 'bad_ticket'), () => connect({ ...retry, session: flipBit(session, -1) }))
  await served.ledger.step('another name', full(protocol, 'server_name'), () => connect({ ...retry, servername: 'b.test', session }))
  t.same(between.clientHellos(), [2, 2, 2, 2, 2])
})
