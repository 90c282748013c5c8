import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createSecureContext } from 'node:tls'
import t from 'tap'
import type { Test } from 'tap'
import { createTicketKeys } from '../../lib/index.js'
import { makeCa, serverCert, type KeyPair } from '../helpers/certs.js'
import { connect, PROTOCOLS, SingleUseClient } from '../helpers/client.js'
import { blocks, countBlocks, runShell, readRepoFile } from '../helpers/docs.js'
import { runExample } from '../helpers/example.js'
import { until } from '../helpers/process.js'
import { closeAll, plainHttps } from '../helpers/server.js'

const FILE = 'docs/renewing-certificates.md'
const EXAMPLE = 'examples/certificate-reload.ts'

t.teardown(closeAll)
t.equal(countBlocks(FILE), 5, 'every block is run below, or is part of the example')

interface Example {
  port: number
  pid: number
  output: () => string
  /** Returns how many new certificates the server has loaded. */
  renewals: () => number
}

/** Runs the example with the certificate in `directory`. */
async function start (t: Test, directory: string, checkMs: number): Promise<Example> {
  const { child, port, output } = await runExample(t, EXAMPLE, {
    CHECK_MS: String(checkMs),
    KEY_FILE: join(directory, 'key.pem'),
    CERT_FILE: join(directory, 'cert.pem')
  })
  return {
    port,
    pid: child.pid ?? 0,
    output,
    renewals: () => output().match(/new certificate, valid to/g)?.length ?? 0
  }
}

/** Issues a new certificate from the CA that the test clients trust. */
async function newCertificate (): Promise<KeyPair> {
  const { ca } = await serverCert()
  return await ca.issue({ name: 'localhost', hosts: ['localhost', '127.0.0.1'] })
}

const fingerprint = async (port: number): Promise<string | undefined> => (await connect({ port })).fingerprint

t.test('the code of the page is that of the example', async (t) => {
  for (const code of blocks(FILE, 'ts')) t.ok(readRepoFile(EXAMPLE).includes(code))
})

t.test('certificates are renewed on disk by the certbot hook and by acme.sh, and sessions go on resuming', async (t) => {
  const root = t.testdir({ etc: { web: { tls: {} } }, live: {} })
  const tls = join(root, 'etc/web/tls')
  const write = ({ key, cert }: KeyPair): void => {
    for (const [name, data] of Object.entries({ 'privkey.pem': key, 'fullchain.pem': cert })) writeFileSync(join(root, 'live', name), data)
  }
  write(await newCertificate())
  const [hook = '', acme = ''] = blocks(FILE, 'sh')
  const [, reload = '', variables = ''] = /^ExecReload=\/bin\/(.+)\nEnvironment=(.+)$/m.exec(blocks(FILE, 'ini')[0] ?? '') ?? []
  t.match(variables, /KEY_FILE=\/etc\/web\/tls\/key\.pem CERT_FILE=\/etc\/web\/tls\/cert\.pem/)
  // This systemctl runs the ExecReload command of the unit. This acme.sh copies the files and runs the reload command,
  // as the acme.sh manual says.
  let pid = 0
  mkdirSync(join(root, '.bin'))
  const run = async (code: string): Promise<void> => {
    const programs = {
      systemctl: `test "$*" = 'reload web'${pid === 0 ? '' : `\n${reload.replace('$MAINPID', String(pid))}`}`,
      'acme.sh': `test "$1 $2 $4 $6 $8" = '--install-cert -d --key-file --fullchain-file --reloadcmd'
        cp live/privkey.pem "$5"; cp live/fullchain.pem "$7"; eval "$9"`
    }
    for (const [name, script] of Object.entries(programs)) {
      writeFileSync(join(root, '.bin', name), `#!/bin/bash\nset -e\n${script}\n`)
      chmodSync(join(root, '.bin', name), 0o755)
    }
    // Remove `-o web`: only root can give files to another user.
    const moved = code.replaceAll('/etc/', `${root}/etc/`).replaceAll('-o web ', '').replace('set -eu\n',
      `set -eu\nRENEWED_LINEAGE=${root}/live\n`)
    await runShell(moved, root)
  }
  await run(hook)
  const running = await start(t, tls, 3_600_000)
  pid = running.pid

  const clients = PROTOCOLS.map((protocol) => new SingleUseClient({ port: running.port, protocol }))
  for (const client of clients) await client.connect()
  const seen = new Set([await fingerprint(running.port)])
  for (const [index, code] of [hook, acme].entries()) {
    write(await newCertificate())
    await run(code)
    await until(() => running.renewals() === index + 1)
    seen.add(await fingerprint(running.port))
    for (const client of clients) {
      const session = client.tickets.at(-1)
      const { reused, tickets } = await client.connect({ session })
      t.equal(reused, true, 'a session from before the renewal resumes')
      // A TLS 1.2 client without a new ticket uses its ticket again.
      if (tickets.length === 0 && session !== undefined) client.tickets.push(session)
    }
  }
  t.equal(seen.size, 3, 'a full handshake shows the new certificate')
})

t.test('without a signal, the server sees new files by itself; a pair that does not fit, or no certificate, changes nothing', async (t) => {
  const directory = t.testdir()
  const put = ({ key, cert }: Partial<KeyPair>): void => {
    if (key !== undefined) writeFileSync(join(directory, 'key.pem'), key)
    if (cert !== undefined) writeFileSync(join(directory, 'cert.pem'), cert)
  }
  put(await newCertificate())
  const running = await start(t, directory, 50)
  const first = await fingerprint(running.port)
  const next = await newCertificate()
  put({ key: next.key })
  await until(() => running.output().includes('is not the key of'))
  t.equal(await fingerprint(running.port), first)
  put({ cert: 'not a certificate' })
  await until(() => running.output().includes('PEM routines'))
  t.equal(await fingerprint(running.port), first)
  put({ cert: next.cert })
  await until(() => running.renewals() === 1)
  t.not(await fingerprint(running.port), first)
})

t.test('what to know: client certificates count by the contents of ca, and the newest context of a name counts', async (t) => {
  const { ca } = await serverCert()
  const other = await makeCa('another root')
  const client = await ca.issue({ name: 'client', client: true })
  const { server, port } = await plainHttps({ requestCert: true, rejectUnauthorized: false, ca: ca.cert })
  const keys = await createTicketKeys({ environment: false })
  t.teardown(() => keys.close())
  keys.attach(server)
  const renewed = await newCertificate()
  const { session } = await connect({ port, ...client })
  server.setSecureContext({ ...renewed, ca: ca.cert })
  t.equal((await connect({ port, ...client, session })).reused, true, 'the same ca')
  server.setSecureContext({ ...renewed, ca: other.cert })
  t.equal((await connect({ port, ...client, session })).reused, false, 'another ca')

  const [older, newer] = await Promise.all([newCertificate(), newCertificate()])
  const plain = await plainHttps()
  keys.attach(plain.server)
  const shown = async (): Promise<string | undefined> => (await connect({ port: plain.port, servername: 'localhost' })).fingerprint
  plain.server.addContext('localhost', createSecureContext(older))
  const before = await shown()
  plain.server.addContext('localhost', createSecureContext(newer))
  t.not(await shown(), before)
})
