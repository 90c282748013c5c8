import t from 'tap'
import type { TlsOptions } from 'node:tls'
import { makeCa, serverCert } from '../helpers/certs.js'
import { PROTOCOLS, type ConnectOptions } from '../helpers/connect.js'
import { readRepoFile } from '../helpers/docs.js'
import { manage } from '../helpers/managed.js'
import { mutualServer, visit } from '../helpers/mutual.js'
import { closeAll } from '../helpers/server.js'

/*
 * SECURITY.md has a table of the options of tls.createServer that can refuse a client at a full handshake. Each row of
 * the table is a case here. A session made under `before` must have the outcome of a full handshake under `after`.
 */

t.teardown(closeAll)

const [{ key, cert }, ca, other] = await Promise.all([serverCert(), makeCa('options'), makeCa('other')])
const alice = await ca.issue({ name: 'alice', client: true })
const revoked = await ca.crl([alice])

/** One option: the settings before and after, and a client that the second settings refuse or do not verify. */
interface Case {
  before?: TlsOptions
  after: TlsOptions
  client?: Omit<ConnectOptions, 'port'>
}

const CASES: Record<string, Case> = {
  ca: { after: { ca: other.cert } },
  crl: { after: { ca: ca.cert, crl: revoked } },
  sigalgs: { after: { sigalgs: 'RSA-PSS+SHA256:ECDSA+SHA384' } },
  ecdhCurve: { after: { ecdhCurve: 'P-384' } },
  ciphers: {
    after: { ciphers: 'TLS_AES_256_GCM_SHA384:ECDHE-ECDSA-AES256-GCM-SHA384' },
    client: { ciphers: 'TLS_AES_128_GCM_SHA256:ECDHE-ECDSA-AES128-GCM-SHA256' }
  },
  minVersion: { after: { minVersion: 'TLSv1.3' }, client: { tls: { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' } } },
  maxVersion: { after: { maxVersion: 'TLSv1.2' }, client: { tls: { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' } } },
  secureProtocol: { after: { secureProtocol: 'TLSv1_2_method' }, client: { tls: { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' } } },
  // SSL_OP_NO_TLSv1_3
  secureOptions: { after: { secureOptions: 0x20000000 }, client: { tls: { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' } } }
}

t.test('the table of SECURITY.md has the options that are tested here', async (t) => {
  const [, table = ''] = /### Options that can refuse a client\n([^]*?)(?=\n##)/.exec(readRepoFile('SECURITY.md')) ?? []
  const rows = [...table.matchAll(/^\| `(\w+)` \|/gm)].map(([, option]) => option)
  t.same(rows.filter((option) => option !== 'requestCert' && option !== 'rejectUnauthorized'), Object.keys(CASES))
})

for (const [option, { before = {}, after, client = {} }] of Object.entries(CASES)) {
  for (const protocol of PROTOCOLS) {
    t.test(`${protocol}: a session from before a change of ${option} gets what a full handshake gets`, async (t) => {
      const { keys } = await manage(t)
      const base = { key, cert, ca: ca.cert, requestCert: true, rejectUnauthorized: true }
      const { server, port } = await mutualServer({ ...base, ...before })
      keys.attach(server)
      const options = { port, protocol, ...alice, ...client }
      const { session, outcome: first } = await visit(options)
      t.match(first, { authorized: true, peer: 'alice' })
      server.setSecureContext({ ...base, ...after })
      const { outcome: full } = await visit(options)
      const { outcome } = await visit({ ...options, session })
      if (full === 'refused') t.equal(outcome, 'refused')
      else t.match(outcome, { authorized: full.authorized, peer: full.peer })
    })
  }
}

t.test('sigalgs, ecdhCurve and the rest of the table refuse a client at a full handshake', async (t) => {
  const refused: string[] = []
  for (const [option, { after, client = {} }] of Object.entries(CASES)) {
    const base = { key, cert, ca: ca.cert, requestCert: true, rejectUnauthorized: true }
    const { port } = await mutualServer({ ...base, ...after })
    const outcomes = await Promise.all(PROTOCOLS.map(async (protocol) => (await visit({ port, protocol, ...alice, ...client })).outcome))
    if (outcomes.includes('refused')) refused.push(option)
  }
  t.same(refused, Object.keys(CASES))
})
