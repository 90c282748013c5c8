import { randomBytes } from 'node:crypto'
import type { Server } from 'node:https'
import { createSecureContext } from 'node:tls'
import type { SecureContext, TlsOptions } from 'node:tls'
import t from 'tap'
import type { TicketKeysOptions } from '../../lib/config/options.js'
import { makeCa, serverCert } from '../helpers/certs.js'
import { PROTOCOLS } from '../helpers/client.js'
import type { ConnectOptions, Protocol } from '../helpers/client.js'
import { manage } from '../helpers/managed.js'
import { mutualServer, visit } from '../helpers/mutual.js'
import { closeAll } from '../helpers/server.js'

t.teardown(closeAll)

const [old, caA, caB] = await Promise.all([serverCert(), makeCa('CA A'), makeCa('CA B')])
const renewed = await old.ca.issue({ name: 'localhost', hosts: ['localhost', '127.0.0.1'] })
const [alice, bob, carol] = await Promise.all([
  caA.issue({ name: 'alice', client: true }),
  caB.issue({ name: 'bob', client: true }),
  (await caA.intermediate('intermediate')).issue({ name: 'carol', client: true })
])
const oldCert = { key: old.key, cert: old.cert }
const demands: TlsOptions = { requestCert: true, rejectUnauthorized: true, ca: [caA.cert, caB.cert] }
const fromA: SecureContext = createSecureContext({ ...oldCert, ca: caA.cert })

/** A change, or a difference between two hosts, that costs nobody a session. */
interface Kept {
  server?: TlsOptions
  prepare?: (server: Server) => void
  /** another host, with the same keys; if left out, the same server */
  shown?: TlsOptions
  change?: (server: Server) => void
  client: Partial<ConnectOptions>
  clientShows?: Partial<ConnectOptions>
  options?: TicketKeysOptions
  protocols?: readonly Protocol[]
  peer: string | null
}

const hosts = (server: Server): void => {
  server.addContext('foo.test', { ...oldCert, ca: caA.cert })
  server.addContext('*.bar.test', { ...oldCert, ca: caB.cert })
}

const KEPT: Record<string, Kept> = {
  'a new certificate by setSecureContext': {
    client: alice,
    change: (server) => { server.setSecureContext({ ...renewed, ca: [caA.cert, caB.cert] }) },
    peer: 'alice'
  },
  'the same CAs, written otherwise': {
    client: carol,
    change: (server) => { server.setSecureContext({ ...renewed, ca: Buffer.from(caB.cert + caA.cert) }) },
    peer: 'carol'
  },
  'a new certificate for a host by addContext': {
    prepare: hosts,
    change: (server) => { server.addContext('foo.test', { ...renewed, ca: caA.cert }) },
    client: { ...alice, servername: 'foo.test' },
    peer: 'alice'
  },
  'a new certificate for another host by addContext': {
    prepare: hosts,
    change: (server) => { server.addContext('foo.test', createSecureContext({ ...renewed, ca: caA.cert })) },
    client: { ...bob, servername: 'x.bar.test' },
    peer: 'bob'
  },
  'new certificates for the server and all its hosts': {
    prepare: hosts,
    change: (server) => {
      server.setSecureContext({ ...renewed, ca: [caB.cert, caA.cert] })
      server.addContext('*.bar.test', { ...renewed, ca: caB.cert })
      server.addContext('foo.test', { ...renewed, ca: caA.cert })
    },
    client: { ...bob, servername: 'x.bar.test' },
    peer: 'bob'
  },
  'a host of addContext, with a HelloRetryRequest each time': {
    server: { ecdhCurve: 'secp384r1' },
    prepare: hosts,
    client: { ...bob, servername: 'x.bar.test', ecdhCurve: 'prime256v1:secp384r1' },
    protocols: ['TLSv1.3'],
    peer: 'bob'
  },
  'one more host that trusts what the server does': {
    prepare: hosts,
    change: (server) => { server.addContext('new.test', { ...renewed, ca: [caB.cert, caA.cert] }) },
    client: { ...alice, servername: 'old.test' },
    peer: 'alice'
  },
  'a session whose certificate is not trusted, where that is accepted': {
    server: { requestCert: true, rejectUnauthorized: false, ca: caB.cert },
    client: alice,
    peer: 'alice'
  },
  'no certificates, and hosts with other CAs': {
    server: { requestCert: false },
    prepare: hosts,
    change: hosts,
    client: { servername: 'foo.test' },
    peer: null
  },
  'no certificates, and an SNICallback with another answer each time': {
    server: { requestCert: false, SNICallback: (_name, done) => { done(null, createSecureContext(oldCert)) } },
    client: { servername: 'foo.test' },
    peer: null
  },
  'an SNICallback that leaves it at the server itself, and resumeSniCallback': {
    server: { SNICallback: (_name, done) => { done(null) } },
    options: { resumeSniCallback: true },
    client: { ...alice, servername: 'foo.test' },
    peer: 'alice'
  },
  'an SNICallback that answers with a context of addContext, and resumeSniCallback': {
    server: { SNICallback: (_name, done) => { done(null, fromA) } },
    options: { resumeSniCallback: true },
    prepare: (server) => { server.addContext('whatever.test', fromA) },
    client: { ...alice, servername: 'foo.test' },
    peer: 'alice'
  },
  'an SNICallback with a context of its own, and resumeSniCallback': {
    server: { SNICallback: (_name, done) => { done(null, createSecureContext({ ...oldCert, ca: caA.cert })) } },
    client: { ...alice, servername: 'foo.test' },
    options: { resumeSniCallback: true },
    peer: 'alice'
  },
  'the name in upper case and with a dot at its end, where all names are the same to the server': {
    client: { ...alice, servername: 'foo.test' },
    clientShows: { servername: 'FOO.Test.' },
    peer: 'alice'
  },
  'the name in other letters, without certificates': {
    server: { requestCert: false },
    prepare: hosts,
    client: { servername: 'FOO.test.' },
    clientShows: { servername: 'foo.TEST' },
    peer: null
  },
  'another host with the same configuration': {
    shown: { ...demands, ca: caB.cert + caA.cert },
    client: alice,
    peer: 'alice'
  },
  'another name, without certificates, where bindServerName is false': {
    server: { requestCert: false },
    prepare: hosts,
    client: { servername: 'foo.test' },
    clientShows: { servername: 'x.bar.test' },
    options: { bindServerName: false },
    peer: null
  }
}

for (const [name, { server, prepare, shown, change, client, clientShows, options, protocols, peer }] of Object.entries(KEPT)) {
  for (const protocol of protocols ?? PROTOCOLS) {
    t.test(`${protocol}: ${name}`, async (t) => {
      const source = { type: 'static' as const, keys: [randomBytes(80)] }
      const start = async (tls: TlsOptions): ReturnType<typeof mutualServer> => {
        const [{ keys }, started] = await Promise.all([manage(t, { source, ...options }), mutualServer({ ...demands, ...tls })])
        prepare?.(started.server)
        keys.attach(started.server)
        return started
      }
      const made = await start(server ?? {})
      const first = await visit({ port: made.port, protocol, ...client })
      const next = shown === undefined ? made : await start(shown)
      change?.(next.server)
      const second = await visit({ port: next.port, protocol, ...client, ...clientShows, session: first.session })
      const authorized = peer !== null && server?.rejectUnauthorized !== false
      t.strictSame(first.outcome, { reused: false, authorized, peer })
      t.strictSame(second.outcome, { reused: true, authorized, peer })
      // A chain of renewals goes on after the change.
      const third = await visit({ port: next.port, protocol, ...client, ...clientShows, session: second.session })
      t.strictSame(third.outcome, second.outcome)
    })
  }
}
