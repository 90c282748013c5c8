import { execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type TicketKeys } from '../../lib/manager/ticket-keys.js'
import { connect, PROTOCOLS } from '../helpers/connect.js'
import { serverCert } from '../helpers/certs.js'
import { externalPsk, pskServerOptions } from '../helpers/external-psk.js'
import { sendHello } from '../helpers/hello.js'
import { serve } from '../helpers/managed.js'
import { closeAll, plainHttps } from '../helpers/server.js'

t.teardown(closeAll)

/** Runs OpenSSL's client: one request over one connection. */
async function runClient (port: number, flag: string, options: string[]): Promise<string> {
  const client = spawn('openssl', ['s_client', '-connect', `127.0.0.1:${port}`, flag, '-ign_eof', ...options])
  let output = ''
  for (const stream of [client.stdout, client.stderr]) stream.setEncoding('latin1').on('data', (text: string) => { output += text })
  client.stdin.end('GET / HTTP/1.0\r\n\r\n')
  await once(client, 'close')
  return output
}

/** The sum of all rejected tickets. */
function rejected (keys: TicketKeys): number {
  const { rejected } = keys.stats()
  return PROTOCOLS.flatMap((protocol) => Object.values(rejected[protocol])).reduce((sum, count) => sum + count, 0)
}

t.test('only the first 4 tickets of a ClientHello are looked at and counted', async (t) => {
  const { keys, port } = await serve(t)
  const { tickets } = await connect({ port, protocol: 'TLSv1.3' })
  t.equal(tickets.length, 2)
  for (const [offered, counted] of [[1, 1], [4, 4], [5, 4], [700, 4]] as const) {
    const before = rejected(keys)
    const identities = Array.from({ length: offered }, () => ({ ticket: randomBytes(40) }))
    t.same(await sendHello(port, { protocol: 'TLSv1.3', identities }), {})
    t.equal(rejected(keys) - before, counted, `${offered} tickets`)
  }
})

t.test('a ticket that the client abandons after a HelloRetryRequest counts as neither resumed nor rejected', async (t) => {
  // OpenSSL's client drops a ticket that has become older than its lifetime. This client waits in its PSK callback,
  // between its two ClientHellos. It then offers only the external PSK.
  const { keys, port } = await serve(t, { ticketLifetime: 3000, rotationInterval: 60_000 }, async () => await plainHttps({
    ...pskServerOptions(), ecdhCurve: 'P-384'
  }))
  const ciphers = 'TLS_AES_128_GCM_SHA256'
  const { session } = await connect({ port, protocol: 'TLSv1.3', ciphers, ecdhCurve: 'P-384' })
  const before = keys.stats()
  let hellos = 0
  const { reused } = await externalPsk({
    port,
    protocol: 'TLSv1.3',
    session,
    ecdhCurve: 'P-256:P-384',
    tls: {
      pskCallback: () => {
        if (++hellos === 1) return null
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5000)
        return { psk: Buffer.alloc(32, 'external psk key'), identity: 'external psk' }
      }
    }
  })
  t.equal(hellos, 2)
  t.equal(reused, true, 'by the external PSK')
  const { resumed, handshakes } = keys.stats()
  t.equal(resumed['TLSv1.3'], before.resumed['TLSv1.3'])
  t.equal(handshakes['TLSv1.3'].resumed, before.handshakes['TLSv1.3'].resumed + 1)
  t.equal(rejected(keys), 0)
})

for (const [protocol, flag] of [['TLSv1.2', '-tls1_2'], ['TLSv1.3', '-tls1_3']] as const) {
  t.test(`${protocol}: a ticket made with max_fragment_length does not break a connection with another value`, async (t) => {
    const { keys, port } = await serve(t)
    const file = join(t.testdir(), 'session.pem')
    const run = async (...options: string[]): Promise<string> => await runClient(port, flag, options)
    t.match(await run('-maxfraglen', '512', '-sess_out', file), /200 OK/)
    t.match(await run('-maxfraglen', '512', '-sess_in', file), /Reused[^]*200 OK/, 'the same value resumes')
    for (const options of [[], ['-maxfraglen', '1024']]) {
      const output = await run(...options, '-sess_in', file)
      t.match(output, /200 OK/)
      t.notMatch(output, /Reused/)
    }
    t.equal(keys.stats().rejected[protocol].mismatch, 2)
  })
}

t.test('a client certificate that fills a session works as on plain Node.js, and gets no ticket if it does not fit', async (t) => {
  const directory = t.testdir()
  const [keyFile, certFile] = [join(directory, 'key.pem'), join(directory, 'cert.pem')]
  const requests = { requestCert: true, rejectUnauthorized: false }
  let withoutTicket = 0
  for (let size = 64_000; size <= 65_400; size += 100) {
    execFileSync('openssl', [
      'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=large', '-days', '1',
      '-keyout', keyFile, '-out', certFile, '-addext', `nsComment=${'x'.repeat(size)}`
    ], { stdio: 'ignore' })
    const client = { key: readFileSync(keyFile, 'latin1'), cert: readFileSync(certFile, 'latin1'), ca: (await serverCert()).ca.cert }
    for (const protocol of PROTOCOLS) {
      const plain = await plainHttps(requests)
      const managed = await serve(t, {}, async () => await plainHttps(requests))
      const works = await connect({ port: plain.port, protocol, ...client }).then(() => true, () => false)
      const exchange = await connect({ port: managed.port, protocol, ...client }).catch(() => undefined)
      t.equal(exchange !== undefined, works, `${protocol}: ${size} bytes`)
      if (exchange?.tickets.length === 0) withoutTicket++
    }
  }
  t.ok(withoutTicket > 0, 'the sizes include one at which only the application data does not fit')
})
