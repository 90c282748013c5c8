import { existsSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'
import t from 'tap'
import { VARIABLES } from '../../lib/config/schema.js'
import { serializeKeys } from '../../lib/keys/formats/index.js'
import type { TicketKey } from '../../lib/keys/key.js'
import { DEFAULT_OPTIONS } from '../../lib/config/schema.js'
import { FileSource } from '../../lib/sources/watched-files.js'
import { SingleUseClient } from '../helpers/client.js'
import { assertResumes, blocks, readRepoFile, ROOT, runShell, runTypeScript, runVariables, type Running } from '../helpers/docs.js'

t.test("docs/reference.md: the options are the code's, with their defaults and variables", (t) => {
  const reference = readRepoFile('docs/reference.md')
  const rows = [...reference.matchAll(/^\| `(\w+)` \| `(.+?)` \| (.+?) \| .+ \|$/gm)]
  t.same(rows.map(([, option]) => option), Object.keys(DEFAULT_OPTIONS))
  const nameOf = (variable: string): string => `TICKET_KEYS${variable === '' ? '' : `_${variable}`}`
  for (const [, option = '', shown, variable] of rows) {
    t.equal(shown, inspect(DEFAULT_OPTIONS[option as keyof typeof DEFAULT_OPTIONS]), `${option}: default`)
    const names = Object.entries(VARIABLES).filter(([, { option: of }]) => of === option).map(([name]) => `\`${nameOf(name)}\``)
    t.equal(variable, option === 'source' ? 'see [below](#sources)' : names.join() || 'code only', `${option}: variable`)
  }
  const sources = [...reference.matchAll(/^\| `\{ type: '(\w+)'.*?\}` \| (.*?) ?\| .+ \|$/gm)]
  t.same(sources.map(([, type]) => type), ['memory', 'static', 'secret', 'file', 'directory', 'shared'])
  const shown = [...rows.map(([, , , variable]) => variable), ...sources.map(([, , variables]) => variables)]
    .join()
    .match(/TICKET_KEYS\w*/g)
  t.same([...new Set(shown)].sort(), Object.keys(VARIABLES).map(nameOf).sort(), 'all variables, and no others')
  const [deleted = ''] = /^.* are deleted from `process\.env`.*$/m.exec(reference) ?? []
  t.same(deleted.match(/TICKET_KEYS\w*/g)?.sort(),
    Object.entries(VARIABLES).filter(([, { secret }]) => secret === true).map(([name]) => nameOf(name)).sort())
  t.end()
})

t.test('links between the documents lead somewhere', (t) => {
  const anchors = (file: string): string[] =>
    [...readRepoFile(file).matchAll(/^#+ (.+)$/gm)].map(([, title = '']) =>
      title.toLowerCase().replace(/[^\w -]/g, '').replaceAll(' ', '-'))
  const pages = readdirSync(new URL('docs', ROOT)).filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`)
  for (const file of ['README.md', 'SECURITY.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'CHANGELOG.md', ...pages]) {
    for (const [, path = '', anchor] of readRepoFile(file).matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)/g)) {
      const target = path === '' ? file : new URL(path, new URL(file, ROOT)).pathname.slice(ROOT.pathname.length)
      t.ok(existsSync(new URL(target, ROOT)), `${file}: ${target}`)
      if (anchor !== undefined) t.ok(anchors(target).includes(anchor), `${file}: ${target}#${anchor}`)
    }
  }
  // A reader of the front page finds every page.
  for (const page of pages) {
    t.ok([readRepoFile('README.md'),
      readRepoFile('docs/reference.md')].some((from) => from.includes(page.replace('docs/', ''))), page)
  }
  t.end()
})

t.test('docs/secret-source.md: the commands make a secret, use it, and change it in two steps', async (t) => {
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
    runTypeScript(t, use, root),
    runVariables(t, variables(stepOne)),
    runTypeScript(t, inCode, root),
    runVariables(t, variables(stepTwo)),
    runTypeScript(t, swapped, root)
  ])
  for (const running of [plain, first, second]) await assertResumes(t, running, 'secret')
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

t.test('docs/key-formats.md: the JSON example is a readable key file', async (t) => {
  const now = Date.parse('2030-01-31T12:30:00Z')
  const [json = ''] = blocks('docs/key-formats.md', 'json')
  const path = join(t.testdir(), 'keys.json')
  writeFileSync(path, json, { mode: 0o600 })
  const { keys = [] } = await new FileSource(path, undefined, true).load() ?? {}
  t.equal(keys.length, 2)
  t.ok(keys.every(({ issueUntil, acceptUntil }) => issueUntil > now && acceptUntil > issueUntil))
  t.equal(serializeKeys(keys as TicketKey[], 'json').toString(), json)
})
