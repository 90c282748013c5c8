import { execFile } from 'node:child_process'
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { inspect, promisify } from 'node:util'
import t, { type Test } from 'tap'
import { VARIABLES } from '../lib/environment.js'
import { serializeKeys } from '../lib/keys/formats/index.js'
import type { TicketKeysStatus } from '../lib/manager.js'
import { DEFAULT_OPTIONS } from '../lib/options.js'
import { serverCert } from './helpers/certs.js'
import { SingleUseClient } from './helpers/client.js'
import { serveDocument } from './helpers/document.js'
import { idOf, issuerAt, randomKey, swapIn, writeKeys } from './helpers/keys.js'
import { runModule, until } from './helpers/process.js'
import { closeAll } from './helpers/server.js'

t.teardown(closeAll)

const ROOT = new URL('../', import.meta.url)
const text = (file: string): string => readFileSync(new URL(file, ROOT), 'utf8')
const HOUR = 3_600_000

/** The fenced blocks of a language in a document, or in one section of it. */
function blocks (file: string, language: string, section = ''): string[] {
  const [, from = ''] = section === '' ? ['', text(file)] : text(file).split(`\n${section}\n`)
  const until = section === '' ? from : from.split(new RegExp(`\n#{1,${section.indexOf(' ')}} `))[0] ?? ''
  return [...until.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, 'gms'))].map(([, code]) => code ?? '')
}

function one (file: string, language: string, section: string): string {
  const [only, ...more] = blocks(file, language, section)
  if (only === undefined || more.length > 0) throw new Error(`${more.length + 1} blocks of ${language} in ${section}`)
  return only
}

/** A server that was set up as the docs say. */
interface Running { port: number, status: () => Promise<TicketKeysStatus> }

/** Runs TypeScript that attaches `keys` to `server`, with the file system's root moved to `root`. */
async function runTypeScript (t: Test, code: string, root: string, env: Record<string, string> = {}): Promise<Running> {
  const { key, cert } = await serverCert()
  const moved = code.replaceAll(/'\/(run|etc)\//g, `'${root}/$1/`)
    .replaceAll("'fastify-ticket-keys'", "'../../lib/index.js'").replaceAll("'./custom-source.js'", "'../../examples/custom-source.js'")
  const running = runModule(`
    import { createServer as docsServer } from 'node:https'
    import { listen as docsListen } from '../helpers/server.js'
    const server = docsServer({ key: process.env.DOCS_KEY, cert: process.env.DOCS_CERT }, (request, response) => { response.end() })
    ${moved}
    process.on('message', () => { process.send(keys.status()) })
    process.send(await docsListen(server))
  `, { env: { ...env, DOCS_KEY: key, DOCS_CERT: cert } })
  t.teardown(running.stop)
  const port = await running.next() as number
  return {
    port,
    status: async () => {
      running.send('status')
      return await running.next() as TicketKeysStatus
    }
  }
}

/** The same with nothing but variables. */
async function runVariables (t: Test, env: Record<string, string>): Promise<Running> {
  return await runTypeScript(t, "import { createTicketKeys } from 'fastify-ticket-keys'\nconst keys = await createTicketKeys()\nkeys.attach(server)", '', env)
}

/** A shell in `directory`, with this package's command line as `npx` and, as `kubectl`, one that keeps a Secret in the file `secret`. */
async function runShell (code: string, directory: string): Promise<string> {
  const bin = join(directory, '.bin')
  mkdirSync(bin, { recursive: true })
  const command = fileURLToPath(new URL('lib/cli/index.ts', ROOT))
  const scripts = {
    npx: `test "$1" = fastify-ticket-keys && shift && exec '${process.execPath}' --import '${import.meta.resolve('tsx')}' '${command}' "$@"`,
    kubectl: `case "$*" in
      'get secret ticket-keys -o jsonpath={.data.tickets\\.json}') base64 '${directory}/secret' ;;
      'create secret generic ticket-keys --from-file=tickets.json') cp tickets.json '${directory}/secret' ;;
      'create secret generic ticket-keys --from-file=tickets.json --dry-run=client -o yaml') cat tickets.json ;;
      'apply -f -') cat > '${directory}/secret' ;;
      *) echo "unknown: $*" >&2; exit 1 ;; esac`
  }
  for (const [name, script] of Object.entries(scripts)) writeFileSync(join(bin, name), `#!/bin/bash\n${script}\n`, { mode: 0o755 })
  const moved = code.replaceAll(' /run/', ` ${directory}/run/`)
  const env = { ...process.env, NODE_OPTIONS: '', PATH: `${bin}:${process.env['PATH'] ?? ''}` }
  const { stdout } = await promisify(execFile)('bash', ['-euo', 'pipefail', '-c', moved], { cwd: directory, env })
  return stdout
}

/** Connects twice, under the key that issues. */
async function works (t: Test, { port, status }: Running, source: string): Promise<void> {
  const client = new SingleUseClient({ port })
  await client.connect()
  await client.connect()
  t.match(client, { full: 1, resumed: 1, failed: 0 }, `${source}: resumes`)
  const { current, source: type } = await status()
  t.equal(type, source)
  t.equal(await issuerAt(port), current, `${source}: under its key`)
}

t.test("README: the options are the code's, with their defaults and variables", (t) => {
  const readme = text('README.md')
  const rows = [...readme.matchAll(/^\| `(\w+)` \| `(.+?)` \| (.+?) \| .+ \|$/gm)]
  t.same(rows.map(([, option]) => option), Object.keys(DEFAULT_OPTIONS))
  const nameOf = (variable: string): string => `TICKET_KEYS${variable === '' ? '' : `_${variable}`}`
  for (const [, option = '', shown, variable] of rows) {
    t.equal(shown, inspect(DEFAULT_OPTIONS[option as keyof typeof DEFAULT_OPTIONS]), `${option}: default`)
    const names = Object.entries(VARIABLES).filter(([, { option: of }]) => of === option).map(([name]) => `\`${nameOf(name)}\``)
    t.equal(variable, option === 'source' ? 'see below' : names.join(), `${option}: variable`)
  }
  const sources = [...readme.matchAll(/^\| `\{ type: '(\w+)'.*?\}` \| (.*?) ?\| .+ \|$/gm)]
  t.same(sources.map(([, type]) => type), ['memory', 'static', 'secret', 'file', 'directory'])
  const shown = [...rows.map(([, , , variable]) => variable), ...sources.map(([, , variables]) => variables)].join().match(/TICKET_KEYS\w*/g)
  t.same([...new Set(shown)].sort(), Object.keys(VARIABLES).map(nameOf).sort(), 'all variables, and no others')
  const [deleted = ''] = /^.* are deleted from `process\.env`.*$/m.exec(readme) ?? []
  t.same(deleted.match(/TICKET_KEYS\w*/g)?.sort(), Object.entries(VARIABLES).filter(([, { secret }]) => secret === true).map(([name]) => nameOf(name)).sort())
  t.end()
})

t.test('links between the documents lead somewhere', (t) => {
  const anchors = (file: string): string[] => [...text(file).matchAll(/^#+ (.+)$/gm)].map(([, title = '']) => title.toLowerCase().replace(/[^\w -]/g, '').replaceAll(' ', '-'))
  for (const file of ['README.md', 'docs/sources.md', 'docs/secret-source.md', 'docs/key-formats.md']) {
    for (const [, path = '', anchor] of text(file).matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)/g)) {
      const target = path === '' ? file : new URL(path, new URL(file, ROOT)).pathname.slice(ROOT.pathname.length)
      t.ok(existsSync(new URL(target, ROOT)), `${file}: ${target}`)
      if (anchor !== undefined) t.ok(anchors(target).includes(anchor), `${file}: ${target}#${anchor}`)
    }
  }
  t.end()
})

t.test('docs/sources.md: memory, static', async (t) => {
  const root = t.testdir({ run: { keys: {} } })
  await works(t, await runTypeScript(t, one('docs/sources.md', 'ts', '## memory'), root), 'memory')
  const keys = [randomKey(), randomKey()]
  keys.forEach((key, index) => { writeKeys(join(root, 'run/keys', ['new.key', 'old.key'][index] ?? ''), [key]) })
  const running = await runTypeScript(t, one('docs/sources.md', 'ts', '## static'), root)
  await works(t, running, 'static')
  t.same((await running.status()).keys.map(({ id }) => id), keys.map(idOf))
})

t.test('docs/sources.md: files', async (t) => {
  const root = t.testdir({ run: { keys: { nginx: {} } } })
  await runShell(one('docs/sources.md', 'sh', '## Files'), root)
  const [file = '', directory = '', ...more] = blocks('docs/sources.md', 'ts', '## Files')
  t.equal(more.length, 0)
  await works(t, await runTypeScript(t, file, root), 'file')
  const [, path = ''] = /`TICKET_KEYS_FILE=(.+?)`/.exec(text('docs/sources.md')) ?? []
  await works(t, await runVariables(t, { TICKET_KEYS_FILE: root + path }), 'file')
  for (const name of ['1', '2']) writeKeys(join(root, 'run/keys/nginx', name), [randomKey()])
  await works(t, await runTypeScript(t, directory, root), 'directory')
})

t.test('docs/sources.md: a Docker secret', async (t) => {
  const compose = one('docs/sources.md', 'yaml', '### Docker')
  const [, name = '', file = ''] = /^secrets:\n {2}(\S+):\n {4}file: \.\/(\S+)$/m.exec(compose) ?? []
  const [, variable = '', path = ''] = /^ {6}(TICKET_KEYS_\w+): (\S+)$/m.exec(compose) ?? []
  t.match(compose, new RegExp(`^ {4}secrets:\n {6}- ${name}$`, 'm'))
  // Docker mounts each secret of a service as a file of its name in this directory.
  t.equal(path, `/run/secrets/${name}`)
  const root = t.testdir({ run: { secrets: {} } })
  await runShell(blocks('docs/secret-source.md', 'sh')[0] ?? '', root)
  copyFileSync(join(root, file), root + path)
  await works(t, await runVariables(t, { [variable]: root + path }), 'secret')
})

t.test('docs/sources.md: a systemd credential', async (t) => {
  const unit = one('docs/sources.md', 'ini', '### systemd')
  const [, name = '', origin = ''] = /^LoadCredential=(.+?):(.+)$/m.exec(unit) ?? []
  const [, variable = '', path = ''] = /^Environment=(\w+)=(.+)$/m.exec(unit) ?? []
  t.match(origin, /^\/etc\//)
  const root = t.testdir({ credentials: {}, 'ticket-secret': 'a secret of thirty-two bytes and more' })
  copyFileSync(join(root, 'ticket-secret'), join(root, 'credentials', name))
  chmodSync(join(root, 'credentials', name), 0o400)
  await works(t, await runVariables(t, { [variable]: path.replace('%d', join(root, 'credentials')) }), 'secret')
})

t.test('docs/sources.md: a Kubernetes Secret, mounted, and rotated', async (t) => {
  const root = t.testdir()
  const deployment = one('docs/sources.md', 'yaml', '### Kubernetes')
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
    swapIn(mount, { 'tickets.json': readFileSync(join(root, 'secret')) })
    chmodSync(join(mount, 'tickets.json'), mode)
  }
  await runShell(make, root)
  sync()
  const running = await runVariables(t, { TICKET_KEYS_DIRECTORY: mount, TICKET_KEYS_STRICT_PERMISSIONS: 'true' })
  await works(t, running, 'directory')
  const client = new SingleUseClient({ port: running.port })
  await client.connect()
  const before = await running.status()
  // The first run finds that less than three intervals are left by now.
  await runShell(rotate, root)
  sync()
  await until(async () => (await running.status()).keys.length > before.keys.length, 30_000)
  t.same((await running.status()).keys.slice(0, before.keys.length), before.keys, 'no key is lost')
  await client.connect()
  t.match(client, { full: 1, resumed: 1 })
  t.notOk(existsSync(join(root, 'tickets.json')), 'nothing is left lying about')
})

t.test('docs/sources.md: a store of your own', async (t) => {
  const now = Date.now()
  const service = await serveDocument(randomKey({ notBefore: now - HOUR, issueUntil: now + HOUR, acceptUntil: now + HOUR }))
  const code = one('docs/sources.md', 'ts', '## A store of your own')
  t.match(code, "'https://keys.internal/tickets.json'")
  await works(t, await runTypeScript(t, code.replace('https://keys.internal/tickets.json', service.url), ''), 'document')
  const lines = text('examples/custom-source.ts').split('\n')
  t.ok(lines.length < 60, 'it is as short as the docs say')
  // The commented usage in the example is the one in the docs.
  t.match(lines.join('\n'), "new DocumentSource('https://keys.internal/tickets.json')")
})

t.test('docs/secret-source.md: making a secret, using it, changing it in two steps', async (t) => {
  const file = 'docs/secret-source.md'
  const root = t.testdir({ run: { secrets: {} } })
  const secrets = join(root, 'run/secrets')
  const [make = '', stepOne = '', stepTwo = '', kdf = '', ...more] = blocks(file, 'sh')
  const [use = '', inCode = '', ...others] = blocks(file, 'ts')
  t.equal(more.length + others.length, 0)
  for (const name of ['ticket-secret', 'old-secret', 'new-secret']) {
    await runShell(make, root)
    renameSync(join(root, 'ticket-secret'), join(secrets, name))
  }
  const variables = (code: string): Record<string, string> =>
    Object.fromEntries([...code.matchAll(/^(TICKET_KEYS_\w+)=(.+)$/gm)].map(([, name = '', path = '']) => [name, root + path]))
  const swapped = inCode.replace('old-secret', 'x-secret').replace('new-secret', 'old-secret').replace('x-secret', 'new-secret')
  const [plain, first, firstInCode, second, secondInCode] = await Promise.all([
    runTypeScript(t, use, root), runVariables(t, variables(stepOne)), runTypeScript(t, inCode, root), runVariables(t, variables(stepTwo)), runTypeScript(t, swapped, root)
  ])
  for (const running of [plain, first, second]) await works(t, running, 'secret')
  const ids = async ({ status }: Running): Promise<string[]> => (await status()).keys.map(({ id }) => id)
  t.same(await ids(first), await ids(firstInCode))
  t.same(await ids(second), await ids(secondInCode))
  t.same((await ids(first)).sort(), (await ids(second)).sort())
  const client = new SingleUseClient({ port: 0 })
  for (const { port } of [first, second, first, secondInCode, firstInCode]) await client.connect({ port })
  t.match(client, { full: 1, resumed: 4 })
  t.not((await first.status()).current, (await second.status()).current)

  const derived = (await runShell(kdf, root)).trim().replaceAll(':', '').toLowerCase()
  const vectors = JSON.parse(blocks(file, 'json vectors')[0] ?? '') as Array<{ name: string, aesKey: string, hmacKey: string }>
  t.equal(derived, `${vectors[1]?.name}${vectors[1]?.aesKey}${vectors[1]?.hmacKey}`)
})

t.test('docs/key-formats.md: the JSON in it is a file that can be read', async (t) => {
  const now = Date.parse('2030-01-31T12:30:00Z')
  const [json = ''] = blocks('docs/key-formats.md', 'json')
  const path = join(t.testdir(), 'keys.json')
  writeFileSync(path, json, { mode: 0o600 })
  const { FileSource } = await import('../lib/sources/files.js')
  const { keys = [] } = await new FileSource(path, undefined, true).load() ?? {}
  t.equal(keys.length, 2)
  t.ok(keys.every(({ issueUntil, acceptUntil }) => issueUntil > now && acceptUntil > issueUntil))
  t.equal(serializeKeys(keys as Parameters<typeof serializeKeys>[0], 'json').toString(), json)
})
