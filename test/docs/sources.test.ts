import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { SingleUseClient } from '../helpers/client.js'
import { serveDocument } from '../helpers/document.js'
import { assertResumes, blocks, onlyBlock, readRepoFile, runShell, runTypeScript, runVariables } from '../helpers/docs.js'
import { idOf, randomKey, updateMountedSecret, writeKeys } from '../helpers/keys.js'
import { until } from '../helpers/process.js'
import { closeAll } from '../helpers/server.js'

t.teardown(closeAll)

const HOUR = 3_600_000

t.test('docs/sources.md: memory, static', async (t) => {
  const root = t.testdir({ run: { keys: {} } })
  await assertResumes(t, await runTypeScript(t, onlyBlock('docs/sources.md', 'ts', '## memory'), root), 'memory')
  const keys = [randomKey(), randomKey()]
  keys.forEach((key, index) => { writeKeys(join(root, 'run/keys', ['new.key', 'old.key'][index] ?? ''), [key]) })
  const running = await runTypeScript(t, onlyBlock('docs/sources.md', 'ts', '## static'), root)
  await assertResumes(t, running, 'static')
  t.same((await running.status()).keys.map(({ id }) => id), keys.map(idOf))
})

t.test('docs/sources.md: files', async (t) => {
  const root = t.testdir({ run: { keys: { nginx: {} } } })
  await runShell(onlyBlock('docs/sources.md', 'sh', '## Files'), root)
  const [file = '', directory = '', ...more] = blocks('docs/sources.md', 'ts', '## Files')
  t.equal(more.length, 0)
  await assertResumes(t, await runTypeScript(t, file, root), 'file')
  const [, path = ''] = /`TICKET_KEYS_FILE=(.+?)`/.exec(readRepoFile('docs/sources.md')) ?? []
  await assertResumes(t, await runVariables(t, { TICKET_KEYS_FILE: root + path }), 'file')
  for (const name of ['1', '2']) writeKeys(join(root, 'run/keys/nginx', name), [randomKey()])
  await assertResumes(t, await runTypeScript(t, directory, root), 'directory')
})

t.test('docs/sources.md: a Docker secret', async (t) => {
  const compose = onlyBlock('docs/sources.md', 'yaml', '### Docker')
  const [, name = '', file = ''] = /^secrets:\n {2}(\S+):\n {4}file: \.\/(\S+)$/m.exec(compose) ?? []
  const [, variable = '', path = ''] = /^ {6}(TICKET_KEYS_\w+): (\S+)$/m.exec(compose) ?? []
  t.match(compose, new RegExp(`^ {4}secrets:\n {6}- ${name}$`, 'm'))
  // Docker mounts each secret of a service as a file of its name in this directory.
  t.equal(path, `/run/secrets/${name}`)
  const root = t.testdir({ run: { secrets: {} } })
  await runShell(blocks('docs/secret-source.md', 'sh')[0] ?? '', root)
  copyFileSync(join(root, file), root + path)
  await assertResumes(t, await runVariables(t, { [variable]: root + path }), 'secret')
})

t.test('docs/sources.md: a systemd credential', async (t) => {
  const unit = onlyBlock('docs/sources.md', 'ini', '### systemd')
  const [, name = '', origin = ''] = /^LoadCredential=(.+?):(.+)$/m.exec(unit) ?? []
  const [, variable = '', path = ''] = /^Environment=(\w+)=(.+)$/m.exec(unit) ?? []
  t.match(origin, /^\/etc\//)
  const root = t.testdir({ credentials: {}, 'ticket-secret': 'a secret of thirty-two bytes and more' })
  copyFileSync(join(root, 'ticket-secret'), join(root, 'credentials', name))
  chmodSync(join(root, 'credentials', name), 0o400)
  await assertResumes(t, await runVariables(t, { [variable]: path.replace('%d', join(root, 'credentials')) }), 'secret')
})

t.test('docs/sources.md: a Kubernetes Secret, mounted, and rotated', async (t) => {
  const root = t.testdir()
  const deployment = onlyBlock('docs/sources.md', 'yaml', '### Kubernetes')
  const [make = '', rotate = '', ...more] = blocks('docs/sources.md', 'sh', '### Kubernetes')
  t.equal(more.length, 0)
  const get = (pattern: RegExp): string => pattern.exec(deployment)?.[1] ?? `nothing like ${pattern}`
  const volume = get(/^ {6}volumes:\n {8}- name: (\S+)$/m)
  t.equal(get(/^ {12}- name: (\S+)\n {14}mountPath:/m), volume)
  const path = get(/mountPath: (\S+)$/m)
  t.equal(get(/name: TICKET_KEYS_DIRECTORY\n +value: (\S+)$/m), path)
  t.match(make, `secret generic ${get(/secretName: (\S+)$/m)} `)

  const mount = join(root, path)
  mkdirSync(mount, { recursive: true })
  const mode = Number.parseInt(get(/defaultMode: (0\d+)$/m), 8)
  const sync = (): void => {
    updateMountedSecret(mount, { 'tickets.json': readFileSync(join(root, 'secret')) })
    chmodSync(join(mount, 'tickets.json'), mode)
  }
  await runShell(make, root)
  // An hour ago.
  const aged = readFileSync(join(root, 'secret'), 'utf8').replace(
    /"(\d{4}-.+?Z)"/g,
    (_, time: string) => `"${new Date(Date.parse(time) - HOUR).toISOString()}"`
  )
  writeFileSync(join(root, 'secret'), aged)
  sync()
  const running = await runVariables(t, { TICKET_KEYS_DIRECTORY: mount, TICKET_KEYS_STRICT_PERMISSIONS: 'true' })
  await assertResumes(t, running, 'directory')
  const client = new SingleUseClient({ port: running.port })
  await client.connect()
  const before = await running.status()
  await runShell(rotate, root)
  sync()
  await until(async () => (await running.status()).keys.length > before.keys.length, 30_000)
  t.same((await running.status()).keys.slice(0, before.keys.length), before.keys, 'no key is lost')
  await client.connect()
  t.match(client, { full: 1, resumed: 1 })
  t.notOk(existsSync(join(root, 'tickets.json')), 'no other file remains')
})

t.test('docs/sources.md: a custom store', async (t) => {
  const now = Date.now()
  const service = await serveDocument(randomKey({ notBefore: now - HOUR, issueUntil: now + HOUR, acceptUntil: now + HOUR }))
  const code = onlyBlock('docs/sources.md', 'ts', '## A store of your own')
  t.match(code, "'https://keys.internal/tickets.json'")
  await assertResumes(t, await runTypeScript(t, code.replace('https://keys.internal/tickets.json', service.url), ''), 'document')
  const lines = readRepoFile('examples/custom-source.ts').split('\n')
  t.ok(lines.length < 60, 'the example is as short as the docs say')
  // The commented usage in the example is the one in the docs.
  t.match(lines.join('\n'), "new DocumentSource('https://keys.internal/tickets.json')")
})
