import { createSecureContext } from 'node:tls'
import type { SecureContext, TlsOptions } from 'node:tls'
import t from 'tap'
import { makeCa, serverCert } from '../helpers/certs.js'
import type { KeyPair } from '../helpers/certs.js'
import { PROTOCOLS } from '../helpers/client.js'
import type { ConnectOptions } from '../helpers/client.js'
import { assertBypassClosed } from '../helpers/client-cert-bypass.js'
import type { BypassCase } from '../helpers/client-cert-bypass.js'
import type { Outcome } from '../helpers/mutual.js'
import { closeAll } from '../helpers/server.js'

t.teardown(closeAll)

const NODE = Number(process.versions.node.split('.')[0])
/** From Node.js 24 on, a server does not take a client without a certificate for authorized. */
const GUARDED = NODE >= 24
/** `SSL_OP_NO_EXTENDED_MASTER_SECRET`, which Node.js has no name for. */
const NO_EXTENDED_MASTER_SECRET = 1

const [{ key, cert }, caA, caB] = await Promise.all([serverCert(), makeCa('CA A'), makeCa('CA B')])
const [alice, bob, weak] = await Promise.all([
  caA.issue({ name: 'alice', client: true }),
  caB.issue({ name: 'bob', client: true }),
  caA.issue({ name: 'weak', client: true, rsaBits: 1024 })
])
const revoked = await caA.crl([alice])

const demands = (ca: string): TlsOptions => ({ requestCert: true, rejectUnauthorized: true, ca })
const asks = (ca: string): TlsOptions => ({ requestCert: true, rejectUnauthorized: false, ca })
const trusts = (ca: string): SecureContext => createSecureContext({ key, cert, ca })
const as = (pair: KeyPair, servername?: string): Partial<ConnectOptions> => ({ ...pair, ...(servername !== undefined && { servername }) })
const at = (servername: string): Partial<ConnectOptions> => ({ servername })

const resumedAs = (peer: string): Outcome => ({ reused: true, authorized: true, peer })
const nobody = (reused: boolean, authorized = false): Outcome => ({ reused, authorized, peer: null })

/** What the SNICallback of `byTenant` answers. */
let tenant: SecureContext | Error
const byTenant: TlsOptions = {
  ...demands(caB.cert),
  SNICallback: (_name, done) => { tenant instanceof Error ? done(tenant) : done(null, tenant) }
}

const BYPASS_CASES: Record<string, BypassCase> = {
  'no certificate, shown where one is demanded': {
    made: {},
    shown: demands(caA.cert),
    client: {},
    full: 'refused',
    open: (protocol) => protocol === 'TLSv1.3' && !GUARDED ? nobody(true, true) : 'refused',
    reason: 'client_certificate'
  },
  'no certificate, shown where one is asked for': {
    made: {},
    shown: asks(caA.cert),
    client: {},
    full: nobody(false),
    open: (protocol) => nobody(true, protocol === 'TLSv1.3' && !GUARDED),
    reason: 'client_certificate'
  },
  'no certificate where one was asked for, shown there again': {
    made: asks(caA.cert),
    client: {},
    full: nobody(false),
    open: (protocol) => nobody(true, protocol === 'TLSv1.3' && !GUARDED),
    reason: 'none'
  },
  'no certificate, and requestCert turned on since': {
    made: { ca: caA.cert },
    change: (server) => { Object.assign(server, { requestCert: true }) },
    client: {},
    full: 'refused',
    open: (protocol) => protocol === 'TLSv1.3' && !GUARDED ? nobody(true, true) : 'refused',
    reason: 'client_certificate'
  },
  'a certificate, shown where none is asked for': {
    made: demands(caA.cert),
    shown: {},
    client: as(alice),
    full: nobody(false),
    open: () => ({ reused: true, authorized: false, peer: 'alice' }),
    reason: 'client_certificate'
  },
  'a certificate of CA A at the default host, shown to a host of addContext that trusts CA B': {
    made: demands(caA.cert),
    prepare: (server) => { server.addContext('foo.test', trusts(caB.cert)) },
    client: as(alice),
    clientShows: at('foo.test'),
    full: 'refused',
    open: () => resumedAs('alice'),
    reason: 'server_name'
  },
  'a certificate of CA B at a host of addContext, shown to the default host that trusts CA A': {
    made: demands(caA.cert),
    prepare: (server) => { server.addContext('*.foo.test', { key, cert, ca: caB.cert }) },
    client: as(bob, 'x.foo.test'),
    clientShows: at('foo.test'),
    full: 'refused',
    open: () => resumedAs('bob'),
    reason: 'server_name'
  },
  'another host, where bindServerName is false': {
    made: demands(caA.cert),
    prepare: (server) => { server.addContext('foo.test', trusts(caB.cert)) },
    client: as(alice, 'bar.test'),
    clientShows: at('foo.test'),
    options: { bindServerName: false },
    full: 'refused',
    open: () => resumedAs('alice'),
    reason: 'server_name'
  },
  'a name with a dot at its end, which is the default host, shown without it': {
    made: demands(caA.cert),
    prepare: (server) => { server.addContext('foo.test', trusts(caB.cert)) },
    client: as(alice, 'foo.test.'),
    clientShows: at('foo.test'),
    full: 'refused',
    open: () => resumedAs('alice'),
    reason: 'none'
  },
  'a name of addContext, shown with a dot at its end, which is the default host': {
    made: demands(caA.cert),
    prepare: (server) => { server.addContext('foo.test', trusts(caB.cert)) },
    client: as(bob, 'foo.test'),
    clientShows: at('foo.test.'),
    full: 'refused',
    open: () => resumedAs('bob'),
    reason: 'server_name'
  },
  'a name in upper case, which is the default host on Node.js 20, shown in lower case': {
    made: demands(caA.cert),
    prepare: (server) => { server.addContext('foo.test', trusts(caB.cert)) },
    client: as(alice, 'FOO.test'),
    clientShows: at('foo.test'),
    full: 'refused',
    // Later versions refuse alice in the first place.
    open: () => NODE === 20 ? resumedAs('alice') : 'refused',
    reason: 'none'
  },
  'an SNICallback whose tenant trusts another CA since': {
    made: byTenant,
    prepare: () => { tenant = trusts(caA.cert) },
    change: () => { tenant = trusts(caB.cert) },
    client: as(alice, 'tenant.test'),
    full: 'refused',
    open: () => resumedAs('alice'),
    reason: 'none'
  },
  'an SNICallback that has no answer any more': {
    made: byTenant,
    prepare: () => { tenant = trusts(caA.cert) },
    change: () => { tenant = new Error('no such tenant') },
    client: as(alice, 'tenant.test'),
    full: 'refused',
    open: () => resumedAs('alice'),
    reason: 'none'
  },
  'an SNICallback that trusts another CA since, and before what the server itself does': {
    made: { ...byTenant, ca: undefined, rejectUnauthorized: false },
    prepare: () => { tenant = createSecureContext({ key, cert }) },
    change: () => { tenant = trusts(caA.cert) },
    client: as(alice, 'tenant.test'),
    full: { reused: false, authorized: true, peer: 'alice' },
    open: () => ({ reused: true, authorized: false, peer: 'alice' }),
    reason: 'none'
  },
  'an SNICallback, after a HelloRetryRequest, where Node.js takes the whole context': {
    made: { ...byTenant, ecdhCurve: 'secp384r1' },
    prepare: () => { tenant = trusts(caA.cert) },
    change: () => { tenant = trusts(caB.cert) },
    client: { ...as(alice, 'tenant.test'), ecdhCurve: 'prime256v1:secp384r1' },
    protocols: ['TLSv1.3'],
    full: 'refused',
    // Plain Node.js finds no key for the ticket then.
    open: () => 'refused',
    reason: 'none'
  },
  'another host after a HelloRetryRequest': {
    made: { ...demands(caB.cert), ecdhCurve: 'secp384r1' },
    prepare: (server) => { server.addContext('foo.test', trusts(caA.cert)) },
    client: { ...as(alice, 'foo.test'), ecdhCurve: 'prime256v1:secp384r1' },
    clientShows: at('bar.test'),
    protocols: ['TLSv1.3'],
    full: 'refused',
    open: () => 'refused',
    reason: 'server_name'
  },
  'a server without SNICallback, then one whose SNICallback trusts another CA': {
    made: demands(caA.cert),
    shown: { ...demands(caA.cert), SNICallback: (_name, done) => { done(null, trusts(caB.cert)) } },
    client: as(alice, 'tenant.test'),
    full: 'refused',
    open: () => resumedAs('alice'),
    reason: 'client_certificate'
  }
}

const CHANGE_CASES: Record<string, BypassCase> = {
  'another host with the same keys that trusts another CA': {
    made: demands(caA.cert),
    shown: demands(caB.cert),
    client: as(alice),
    full: 'refused',
    open: () => resumedAs('alice'),
    reason: 'client_certificate'
  },
  'another CA by setSecureContext': {
    made: demands(caA.cert),
    change: (server) => { server.setSecureContext({ key, cert, ca: caB.cert, sessionIdContext: 'shared' }) },
    client: as(alice),
    full: 'refused',
    open: () => resumedAs('alice'),
    reason: 'client_certificate'
  },
  'a certificate revoked by setSecureContext': {
    made: demands(caA.cert),
    change: (server) => { server.setSecureContext({ key, cert, ca: caA.cert, crl: revoked, sessionIdContext: 'shared' }) },
    client: as(alice),
    full: 'refused',
    open: () => resumedAs('alice'),
    reason: 'client_certificate'
  },
  'another CA for a host, by addContext': {
    made: demands(caB.cert),
    prepare: (server) => { server.addContext('foo.test', trusts(caA.cert)) },
    change: (server) => { server.addContext('foo.test', { key, cert, ca: caB.cert }) },
    client: as(alice, 'foo.test'),
    full: 'refused',
    open: () => resumedAs('alice'),
    reason: 'client_certificate'
  },
  'another CA for some hosts, by a later addContext with a star': {
    made: demands(caB.cert),
    prepare: (server) => { server.addContext('foo.test', trusts(caA.cert)) },
    change: (server) => { server.addContext('*.test', trusts(caB.cert)) },
    client: as(alice, 'foo.test'),
    full: 'refused',
    open: () => resumedAs('alice'),
    reason: 'client_certificate'
  },
  'a host that was the default one, given its own CA by addContext': {
    made: demands(caA.cert),
    // As an SNI host already: Node.js looks for contexts only once there is one.
    prepare: (server) => { server.addContext('bar.test', trusts(caA.cert)) },
    change: (server) => { server.addContext('foo.test', trusts(caB.cert)) },
    client: as(alice, 'foo.test'),
    full: 'refused',
    open: () => resumedAs('alice'),
    reason: 'client_certificate'
  },
  'a host given its own CA while the handshake that makes the ticket is under way': {
    made: { ...demands(caA.cert), ALPNCallback: ({ protocols }) => { duringHandshake(); return protocols[0] } },
    prepare: (server) => { duringHandshake = () => { server.addContext('foo.test', trusts(caB.cert)) } },
    client: { ...as(alice, 'foo.test'), alpn: ['http/1.1'] },
    full: 'refused',
    open: () => resumedAs('alice'),
    reason: 'none'
  },
  'a certificate too weak for the security level since': {
    made: { ...demands(caA.cert), ciphers: 'DEFAULT@SECLEVEL=1' },
    shown: { ...demands(caA.cert), ciphers: 'DEFAULT@SECLEVEL=2' },
    client: { ...as(weak), ciphers: 'DEFAULT@SECLEVEL=0' },
    full: 'refused',
    open: () => resumedAs('weak'),
    reason: 'client_certificate'
  },
  'a cipher that the server no longer has': {
    made: { ciphers: 'ECDHE-ECDSA-AES256-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256' },
    shown: { ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' },
    client: { ciphers: 'ECDHE-ECDSA-AES256-SHA384' },
    protocols: ['TLSv1.2'],
    full: 'refused',
    open: () => nobody(true),
    reason: 'mismatch'
  },
  'extended master secret dropped where the server never had it': {
    made: { ...demands(caA.cert), secureOptions: NO_EXTENDED_MASTER_SECRET },
    prepare: (server) => { server.addContext('foo.test', trusts(caB.cert)) },
    client: as(alice),
    clientShows: { ...at('foo.test'), tls: { secureOptions: NO_EXTENDED_MASTER_SECRET } },
    protocols: ['TLSv1.2'],
    full: 'refused',
    open: () => resumedAs('alice'),
    reason: 'server_name'
  }
}

let duringHandshake = (): void => {}

for (const [name, bypass] of Object.entries(BYPASS_CASES)) {
  for (const protocol of bypass.protocols ?? PROTOCOLS) {
    t.test(`${protocol}: ${name}`, async (t) => { await assertBypassClosed(t, bypass, protocol) })
  }
}

for (const [name, bypass] of Object.entries(CHANGE_CASES)) {
  for (const protocol of bypass.protocols ?? PROTOCOLS) {
    t.test(`${protocol}: ${name}`, async (t) => { await assertBypassClosed(t, bypass, protocol) })
  }
}
