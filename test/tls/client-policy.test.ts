import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createSecureContext, createServer, rootCertificates, type SecureContext, type TlsOptions } from 'node:tls'
import t from 'tap'
import { clientPolicies, toHost, type ClientPolicy } from '../../lib/tls/client-cert-policy.js'
import type { TlsServerInternals } from '../../lib/tls/server-internals.js'
import { makeCa, type Ca } from '../helpers/certs.js'
import { CA_A, CA_B, CRL_OF_A } from '../helpers/fixed-certs.js'

const [caA, caB] = await Promise.all([makeCa('pfx A'), makeCa('pfx B')])

function contextDigest ({ context }: SecureContext): string | undefined {
  return clientPolicies(createServer() as TlsServerInternals, [context])?.[0]?.digest.toString('hex')
}

function digest (options: TlsOptions): string | undefined {
  const server = createServer(options) as TlsServerInternals
  return clientPolicies(server, [server._sharedCreds?.context])?.[0]?.digest.toString('hex')
}

t.test('the same configuration has the same digest in every version of Node.js and on every host', async (t) => {
  t.strictSame({
    'the CAs that come with Node.js': digest({ ca: [...rootCertificates] }),
    ca: digest({ ca: CA_A }),
    list: digest({ ca: CA_A, crl: CRL_OF_A }),
    callback: digest({ ca: CA_A, SNICallback: (_name, done) => { done(null) } })
  }, {
    'the CAs that come with Node.js': 'de90362b22e168bffa05a34cee3cccbd',
    ca: 'bee5687425d3539c98ec6930c081ee02',
    list: '5d2327ef67424265b1e19c6cddd80658',
    callback: 'dca8f2bd9f9f14596489ee211c67968c'
  })
})

t.test('equivalent configurations have the same digest', async (t) => {
  const both = digest({ ca: [CA_A, CA_B] })
  for (const ca of [[CA_B, CA_A], CA_A + CA_B, [Buffer.from(CA_A), CA_B], [CA_A, CA_B, CA_A], `# comment\n${CA_B}\n\n${CA_A}`]) {
    t.equal(digest({ ca }), both)
  }
  t.equal(digest({ requestCert: true }), digest({}), 'each connection has the verify mode')
  t.equal(digest({ ca: CA_A, minVersion: 'TLSv1.3', ciphers: 'TLS_AES_128_GCM_SHA256' }), digest({ ca: CA_A }))
})

t.test('a host has the digest of a server with the same CAs', async (t) => {
  const server = createServer({ ca: CA_A }) as TlsServerInternals
  server.addContext('foo.test', { ca: CA_B })
  server.addContext('bar.test', createSecureContext({ ca: [CA_B, CA_A] }))
  const policies = clientPolicies(server, server._contexts.map(([, context]) => context))
  t.strictSame(policies?.map((policy) => policy.digest.toString('hex')), [digest({ ca: CA_B }), digest({ ca: [CA_A, CA_B] })])
})

t.test('every change of the trusted certificates changes the digest', async (t) => {
  const digests = {
    nothing: digest({}),
    A: digest({ ca: CA_A }),
    B: digest({ ca: CA_B }),
    both: digest({ ca: [CA_A, CA_B] }),
    'A and its list': digest({ ca: CA_A, crl: CRL_OF_A }),
    'roots and a list': digest({ crl: CRL_OF_A }),
    'A and a callback': digest({ ca: CA_A, SNICallback: (_name, done) => { done(null) } }),
    'A, a part of the chain is enough': contextDigest(createSecureContext({ ca: CA_A, ...{ allowPartialTrustChain: true } }))
  }
  const seen = new Map<string, string>()
  for (const [name, value] of Object.entries(digests)) {
    t.match(value, /^[0-9a-f]{32}$/)
    t.equal(seen.get(value ?? ''), undefined, name)
    seen.set(value ?? '', name)
  }
})

t.test('the addon gets a pattern only if it matches the same names as in Node.js', async (t) => {
  const policy = {} as ClientPolicy
  const pattern = (matcher: RegExp): string | undefined => toHost(matcher, policy)?.pattern
  const server = createServer() as TlsServerInternals
  const patterns = ['a.test', '*.a-b.test', '*', 'w*w.*.test', 'x_y', 'a|b', '(a|b).test', 'a/b', 'a\\b', 'ä.test', 'a b']
  for (const name of patterns) server.addContext(name, {})
  t.strictSame(server._contexts.map(([matcher]) => pattern(matcher)),
    ['a.test', '*.a-b.test', '*', 'w*w.*.test', 'x_y', undefined, undefined, undefined, undefined, undefined, undefined])

  server.addContext('A.Test', {})
  const [matcher] = server._contexts.at(-1) as [RegExp, unknown]
  t.equal(pattern(matcher), matcher.test('a.test') ? 'a.test' : 'A.Test')
  t.equal(pattern(/^A\.test$/i), 'a.test', 'later versions of Node.js ignore case')
  for (const other of [/a\.test/, /^a.test$/, /^a\.test$/m, /^[^.]+\.test$/, /^a\.test$/g]) {
    t.equal(pattern(other), undefined, String(other))
  }
})

t.test('the CAs in a PKCS #12 file count as the server loads them', async (t) => {
  const [a, again, b] = await Promise.all([pfx(caA), pfx(caA), pfx(caB)])
  const ofA = digest({ pfx: a, passphrase: 'secret' })
  t.equal(digest({ pfx: again, passphrase: 'secret' }), ofA, 'another server certificate, the same CA')
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
