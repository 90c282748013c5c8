import { randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import * as errors from '../../lib/util/errors.js'
import { metricsRegistry } from '../../lib/metrics/register.js'
import { REASONS } from '../../lib/native/types.js'
import { serverCert } from '../helpers/certs.js'
import { SingleUseClient } from '../helpers/client.js'
import { assertResumes, blocks, readRepoFile, runShell, runTypeScript } from '../helpers/docs.js'
import { manage } from '../helpers/managed.js'
import { runModule } from '../helpers/process.js'

const [start = '', production = '', ...more] = blocks('README.md', 'ts')
const [without = '', callback = '', ...others] = blocks('docs/api.md', 'ts')

/** Runs a block of the README between what it takes for granted and what looks at it; returns what that sent. */
async function run (t: Test, before: string, block: string, after: string, root = ''): Promise<Record<string, unknown>> {
  const { key, cert } = await serverCert()
  const code = block.replaceAll(/port: (8443|9464)/g, 'port: 0').replaceAll("'/run/", `'${root}/run/`)
    .replaceAll("'fastify-ticket-keys'", "'../../lib/index.js'")
  const running = runModule(`${before}\nconst { KEY: key, CERT: cert } = process.env\n${code}\n${after}`, { env: { KEY: key, CERT: cert } })
  t.teardown(running.stop)
  return await running.next() as Record<string, unknown>
}

async function resumes (t: Test, port: unknown): Promise<void> {
  const client = new SingleUseClient({ port: port as number })
  for (let i = 0; i < 3; i++) await client.connect()
  t.match(client, { full: 1, resumed: 2, failed: 0 })
}

t.test('the first example: one line, and GET /metrics', async (t) => {
  const { port, metrics } = await run(
    t,
    '',
    start,
    "process.send({ port: app.server.address().port, metrics: (await app.inject('/metrics')).statusCode })"
  )
  t.equal(metrics, 200)
  await resumes(t, port)
})

t.test('in production: a shared secret, and metrics on their own port', async (t) => {
  const root = t.testdir({ run: { secrets: {} } })
  writeFileSync(join(root, 'run/secrets/ticket-secret'), randomBytes(48).toString('base64'), { mode: 0o600 })
  const before = "import { readFileSync } from 'node:fs'\nimport Fastify from 'fastify'\nimport ticketKeys from '../../lib/index.js'"
  const after = `process.send({ port: app.server.address().port, source: app.ticketKeys.status().source,
    outside: (await app.inject('/metrics')).statusCode, inside: (await internal.inject('/metrics')).statusCode })`
  const { port, ...found } = await run(t, before, production, after, root)
  t.same(found, { source: 'secret', outside: 404, inside: 200 })
  await resumes(t, port)
})

t.test('docs/api.md: without Fastify, a file, and a server of any kind', async (t) => {
  const root = t.testdir()
  mkdirSync(join(root, 'run/keys'), { recursive: true })
  await runShell('npx fastify-ticket-keys generate --out run/keys/tickets.json', root)
  await assertResumes(t, await runTypeScript(t, without, root), 'file')
})

t.test('docs/api.md: a callback that knows one key', async (t) => {
  const before = `import { randomBytes } from 'node:crypto'
    import { plainHttps } from '../helpers/server.js'
    const { server, port } = await plainHttps({ key: process.env.KEY, cert: process.env.CERT })
    const current = { name: randomBytes(16), aesKey: randomBytes(32), hmacKey: randomBytes(32) }
    const known = (name) => name.equals(current.name) ? current : undefined`
  const { port } = await run(t, before, callback, 'process.send({ port })')
  await resumes(t, port)
})

t.test('docs/reference.md: the tables of metrics, reasons and errors are those of the code', async (t) => {
  const rows = (pattern: RegExp): string[] => [...readRepoFile('docs/reference.md').matchAll(pattern)].map(([, name = '']) => name)
  const { keys } = await manage(t)
  t.same(rows(/^\| `(tls_\w+)` \|/gm), metricsRegistry(keys, 'text').getMetricsAsArray().map(({ name }) => name))
  t.same(rows(/^\| `([a-z_]+)` \| [^|]+ \|$/gm), REASONS)
  t.same(rows(/^\| `(FST_\w+)` \|/gm).sort(), Object.values(errors).map((Made) => new Made('').code).sort())
  t.equal(more.length + others.length, 0, 'every block is run above')
})
