import { createSecureContext } from 'node:tls'
import type { SecureContext, TlsOptions } from 'node:tls'
import t from 'tap'
import { PROTOCOLS } from '../helpers/client.js'
import { assertBypassClosed } from '../helpers/client-cert-bypass.js'
import type { BypassCase } from '../helpers/client-cert-bypass.js'
import { closeAll } from '../helpers/server.js'
import { alice, as, at, bob, caA, caB, cert, demands, key, nobody, resumedAs, trusts } from '../helpers/client-cert-parties.js'

t.teardown(closeAll)

const NODE = Number(process.versions.node.split('.')[0])

/** From Node.js 24 on, a server does not take a client without a certificate for authorized. */
const GUARDED = NODE >= 24

const asks = (ca: string): TlsOptions => ({ requestCert: true, rejectUnauthorized: false, ca })

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

for (const [name, bypass] of Object.entries(BYPASS_CASES)) {
  for (const protocol of bypass.protocols ?? PROTOCOLS) {
    t.test(`${protocol}: ${name}`, async (t) => { await assertBypassClosed(t, bypass, protocol) })
  }
}
