import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createSecureContext, createServer, type Server, type TlsOptions } from 'node:tls'
import t from 'tap'
import { clientPolicy } from '../../lib/tls/client-cert-policy.js'
import type { TlsServerInternals } from '../../lib/tls/server-internals.js'
import { makeCa, type Ca } from '../helpers/certs.js'
import { CA_A, CA_B, CRL_OF_A } from '../helpers/fixed-certs.js'

const [caA, caB] = await Promise.all([makeCa('pfx A'), makeCa('pfx B')])

function digest (options: TlsOptions, prepare: (server: Server) => void = () => {}): string | undefined {
  const server = createServer(options)
  prepare(server)
  return clientPolicy(server as TlsServerInternals)?.digest.toString('hex')
}

/** A server whose `addContext` was called so, with a `ca` each. */
const withHosts = (...hosts: Array<[pattern: string, ca: string | undefined]>) => (server: Server): void => {
  for (const [pattern, ca] of hosts) server.addContext(pattern, ca === undefined ? {} : { ca })
}

t.test('the same configuration has the same digest in every version of Node.js and on every host', async (t) => {
  t.strictSame({
    nothing: digest({}),
    ca: digest({ ca: CA_A }),
    hosts: digest({ ca: CA_A }, withHosts(['foo.test', CA_B], ['*.bar.test', undefined])),
    list: digest({ ca: CA_A, crl: CRL_OF_A }),
    callback: digest({ ca: CA_A, SNICallback: (_name, done) => { done(null) } })
  }, {
    nothing: '700a6e219e40e99a6fdeee92eff965ca',
    ca: 'aad1a926e2d0f440d3983c390bbefea8',
    hosts: 'd8fc6765194e6eff798ffff40f3514c8',
    list: '18acb90974906d7280fc44505c2fc430',
    callback: '4209203a6a164608875abd0c16bd37dc'
  })
})

t.test('what is written differently and means the same has the same digest', async (t) => {
  const both = digest({ ca: [CA_A, CA_B] })
  for (const ca of [[CA_B, CA_A], CA_A + CA_B, [Buffer.from(CA_A), CA_B], [CA_A, CA_B, CA_A], `# comment\n${CA_B}\n\n${CA_A}`]) {
    t.equal(digest({ ca }), both)
  }
  t.equal(digest({ requestCert: true }), digest({}), 'the verify mode is seen in each connection')
  t.equal(digest({ ca: CA_A, minVersion: 'TLSv1.3', ciphers: 'TLS_AES_128_GCM_SHA256' }), digest({ ca: CA_A }))

  const hosts = digest({ ca: CA_A }, withHosts(['foo.test', CA_B], ['bar.test', CA_B], ['*.foo.test', CA_A + CA_B]))
  const same: Array<[string, (server: Server) => void]> = [
    ['another order', withHosts(['*.foo.test', CA_A + CA_B], ['bar.test', CA_B], ['foo.test', CA_B])],
    ['one again, with a new certificate', withHosts(['foo.test', CA_B], ['bar.test', CA_B], ['*.foo.test', CA_A + CA_B], ['foo.test', CA_B])],
    ['one changed and changed back', withHosts(['foo.test', CA_B], ['bar.test', CA_A], ['*.foo.test', CA_A + CA_B], ['bar.test', CA_B])],
    ['one more that trusts what it would without', withHosts(['baz.test', CA_A], ['foo.test', CA_B], ['bar.test', CA_B], ['*.foo.test', CA_A + CA_B])],
    ['contexts instead of options', (server) => {
      server.addContext('foo.test', createSecureContext({ ca: CA_B }))
      server.addContext('bar.test', createSecureContext({ ca: CA_B }))
      server.addContext('*.foo.test', createSecureContext({ ca: [CA_B, CA_A] }))
    }]
  ]
  for (const [name, prepare] of same) t.equal(digest({ ca: CA_A }, prepare), hosts, name)
})

t.test('every change of what is trusted, and under which name, changes the digest', async (t) => {
  const callback: TlsOptions['SNICallback'] = (_name, done) => { done(null) }
  const digests = {
    nothing: digest({}),
    A: digest({ ca: CA_A }),
    B: digest({ ca: CA_B }),
    both: digest({ ca: [CA_A, CA_B] }),
    'A and its list': digest({ ca: CA_A, crl: CRL_OF_A }),
    'roots and a list': digest({ crl: CRL_OF_A }),
    'A and a callback': digest({ ca: CA_A, SNICallback: callback }),
    'A, a host without': digest({ ca: CA_A }, withHosts(['foo.test', undefined])),
    'A, a host with B': digest({ ca: CA_A }, withHosts(['foo.test', CA_B])),
    'A, another host with B': digest({ ca: CA_A }, withHosts(['bar.test', CA_B])),
    'A, both hosts with B': digest({ ca: CA_A }, withHosts(['foo.test', CA_B], ['bar.test', CA_B])),
    'A, hosts with a star with B': digest({ ca: CA_A }, withHosts(['*.test', CA_B])),
    'A, a star, then one host': digest({ ca: CA_A }, withHosts(['*.test', CA_B], ['foo.test', CA_A + CA_B])),
    'A, one host, then a star': digest({ ca: CA_A }, withHosts(['foo.test', CA_A + CA_B], ['*.test', CA_B])),
    'A, a star, then one host as the server': digest({ ca: CA_A }, withHosts(['*.test', CA_B], ['foo.test', CA_A])),
    'A, two stars': digest({ ca: CA_A }, withHosts(['f*.test', CA_B], ['*o.test', CA_A + CA_B])),
    'A, the same stars in another order': digest({ ca: CA_A }, withHosts(['*o.test', CA_A + CA_B], ['f*.test', CA_B])),
    'A, no host name but a pattern': digest({ ca: CA_A }, withHosts(['foo|bar', CA_B])),
    'A, a part of the chain is enough at a host': digest({ ca: CA_A }, (server) => {
      server.addContext('foo.test', createSecureContext({ ca: CA_A, ...{ allowPartialTrustChain: true } }))
    })
  }
  const seen = new Map<string, string>()
  for (const [name, value] of Object.entries(digests)) {
    t.match(value, /^[0-9a-f]{32}$/)
    t.equal(seen.get(value ?? ''), undefined, name)
    seen.set(value ?? '', name)
  }
})

t.test('patterns that no name can match both of have no order, whatever they trust', async (t) => {
  const pairs: Array<[string, string, boolean]> = [
    ['a.test', 'b.test', false],
    ['a.test', '*.test', true],
    ['a.b.test', '*.test', false],
    ['*.a.test', '*.b.test', false],
    ['a*.test', 'b*.test', false],
    ['a*.test', '*b.test', true],
    ['*a.test', '*b.test', false],
    ['a.test', 'A.test', true],
    ['a.test', '(a|b).test', true]
  ]
  for (const [one, other, ordered] of pairs) {
    const hosts: Array<[string, string]> = [[one, CA_B], [other, CA_A + CA_B]]
    const [first, second] = [hosts, hosts.toReversed()].map((order) => digest({ ca: CA_A }, withHosts(...order)))
    t.equal(first !== second, ordered, `${one} and ${other}`)
  }
})

t.test('the CAs in a PKCS #12 file count as the server takes them', async (t) => {
  const [a, again, b] = await Promise.all([pfx(caA), pfx(caA), pfx(caB)])
  const ofA = digest({ pfx: a, passphrase: 'secret' })
  t.equal(digest({ pfx: again, passphrase: 'secret' }), ofA, "another certificate of the server's, the same CA")
  t.not(digest({ pfx: b, passphrase: 'secret' }), ofA)
  t.not(ofA, digest({}))
})

async function pfx (ca: Ca): Promise<Buffer> {
  const { key, cert } = await ca.issue({ name: 'server' })
  const directory = mkdtempSync(join(tmpdir(), 'ticket-keys-'))
  const file = (name: string, content: string): string => {
    writeFileSync(join(directory, name), content)
    return join(directory, name)
  }
  try {
    return execFileSync('openssl', ['pkcs12', '-export', '-passout', 'pass:secret',
      '-inkey', file('key', key), '-in', file('cert', cert), '-certfile', file('ca', ca.cert)])
  } finally {
    rmSync(directory, { recursive: true })
  }
}
