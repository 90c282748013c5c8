import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { randomBytes } from 'node:crypto'
import * as tls from 'node:tls'
import t, { type Test } from 'tap'
import { makeCa, serverCert } from '../helpers/certs.js'
import { manage } from '../helpers/managed.js'
import { mutualServer, visit } from '../helpers/mutual.js'
import { runModule } from '../helpers/process.js'
import { closeAll } from '../helpers/server.js'

/*
 * A server without a `ca` accepts the client certificates of Node.js's default CAs. The default CAs differ between
 * hosts, and a program can change them.
 */

t.teardown(closeAll)

const [caA, caB] = await Promise.all([makeCa('default A'), makeCa('default B')])
const alice = await caA.issue({ name: 'alice', client: true })
const { key, cert } = await serverCert()
const keys = randomBytes(80).toString('base64')
const directory = t.testdir()

/** How a host gets its default CAs. */
interface HostOptions {
  ca?: string
  execArgv?: string[]
  variable?: 'NODE_EXTRA_CA_CERTS' | 'SSL_CERT_FILE'
}

/** Starts a host that demands client certificates and has no `ca`. */
async function startHost (t: Test, { ca, execArgv = [], variable = 'NODE_EXTRA_CA_CERTS' }: HostOptions): Promise<number> {
  const file = join(directory, `ca-${randomBytes(4).toString('hex')}.pem`)
  if (ca !== undefined) writeFileSync(file, ca)
  const host = runModule(`
    import { createTicketKeys } from '../../lib/index.js'
    import { mutualServer } from '../helpers/mutual.js'

    const { key, cert, keys } = JSON.parse(process.env.HOST)
    const { server, port } = await mutualServer({ key, cert, requestCert: true })
    const manager = await createTicketKeys({ environment: false, source: { type: 'static', keys: [Buffer.from(keys, 'base64')] } })
    manager.attach(server)
    process.send(port)
  `, {
    execArgv,
    env: {
      HOST: JSON.stringify({ key, cert, keys }),
      NODE_EXTRA_CA_CERTS: undefined,
      SSL_CERT_FILE: undefined,
      SSL_CERT_DIR: undefined,
      ...ca !== undefined && { [variable]: file }
    }
  })
  t.teardown(host.stop)
  return await host.next() as number
}

/**
 * Offers a session of the first host to the second host. Returns whether each host accepts the client, and whether the
 * session resumed.
 */
async function carry (from: number, to: number): Promise<{ first: boolean, full: boolean, ticket: boolean, reused: boolean }> {
  const client = { protocol: 'TLSv1.3' as const, ...alice }
  const { outcome: first, session } = await visit({ port: from, ...client })
  const { outcome: full } = await visit({ port: to, ...client })
  const { outcome } = await visit({ port: to, ...client, session })
  return {
    first: first !== 'refused' && first.authorized,
    full: full !== 'refused' && full.authorized,
    ticket: outcome !== 'refused' && outcome.authorized,
    reused: outcome !== 'refused' && outcome.reused
  }
}

t.test('a host with other NODE_EXTRA_CA_CERTS does not resume a session of a client that it would refuse', async (t) => {
  const [a, again, b] = await Promise.all([caA, caA, caB].map(({ cert }) => startHost(t, { ca: cert }))) as [number, number, number]
  t.same(await carry(a, again), { first: true, full: true, ticket: true, reused: true }, 'the same CAs')
  t.same(await carry(a, b), { first: true, full: false, ticket: false, reused: false })
})

t.test("a host with OpenSSL's own CA store resumes only its own sessions", async (t) => {
  const openssl = { execArgv: ['--use-openssl-ca'], variable: 'SSL_CERT_FILE' as const }
  const [a, b, bundled] = await Promise.all([
    startHost(t, { ...openssl, ca: caA.cert }),
    startHost(t, { ...openssl, ca: caB.cert }),
    startHost(t, { ca: caA.cert, execArgv: ['--use-bundled-ca'] })
  ])
  t.same(await carry(a, a), { first: true, full: true, ticket: true, reused: true }, 'the same host')
  t.same(await carry(a, b), { first: true, full: false, ticket: false, reused: false }, 'other CAs')
  t.same(await carry(a, bundled), { first: true, full: true, ticket: true, reused: false }, 'CAs that cannot be compared')
})

t.test('a client of a CA that tls.setDefaultCACertificates has removed does not resume', async (t) => {
  const { setDefaultCACertificates } = tls as unknown as { setDefaultCACertificates?: (certificates: string[]) => void }
  if (setDefaultCACertificates === undefined) {
    t.comment(`Node.js ${process.version} has no setDefaultCACertificates`)
    return
  }
  setDefaultCACertificates([caA.cert])
  const options = { requestCert: true, rejectUnauthorized: true }
  const { keys: manager } = await manage(t)
  const first = await mutualServer(options)
  setDefaultCACertificates([caB.cert])
  const second = await mutualServer(options)
  for (const { server } of [first, second]) manager.attach(server)
  t.same(await carry(first.port, second.port), { first: true, full: false, ticket: false, reused: false })
  t.equal(manager.stats().rejected['TLSv1.3'].client_certificate, 1)
})
