import t from 'tap'
import { PROTOCOLS } from '../helpers/client.js'
import { assertBypassClosed } from '../helpers/client-cert-bypass.js'
import type { BypassCase } from '../helpers/client-cert-bypass.js'
import { closeAll } from '../helpers/server.js'
import { alice, as, at, caA, caB, cert, demands, key, nobody, resumedAs, trusts, weak } from '../helpers/client-cert-parties.js'

t.teardown(closeAll)

/** SSL_OP_NO_EXTENDED_MASTER_SECRET of OpenSSL 3. node:constants does not have it. */
const NO_EXTENDED_MASTER_SECRET = 1

const revoked = await caA.crl([alice])

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
    // Start with one SNI host: Node.js looks up a context by server name only if the server has at least one.
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

for (const [name, bypass] of Object.entries(CHANGE_CASES)) {
  for (const protocol of bypass.protocols ?? PROTOCOLS) {
    t.test(`${protocol}: ${name}`, async (t) => { await assertBypassClosed(t, bypass, protocol) })
  }
}
