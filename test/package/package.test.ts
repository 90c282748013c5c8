import { execFile } from 'node:child_process'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { pack, ROOT, sources } from '../helpers/package.js'

const run = promisify(execFile)
const PROMISED = JSON.parse(readFileSync(join(ROOT, 'scripts/platforms.json'), 'utf8')) as string[]
const BINARY = /^prebuilds\/[^/]+\/fastify_ticket_keys\.node$/

const packed = await pack(t)
const paths = packed.files.map(({ path }) => path)

function tool (name: string): string {
  return join(ROOT, 'node_modules/.bin', name)
}

t.test("the package contains the code, its types, the addon's sources, the documents that README links to, and nothing else", async (t) => {
  const library = sources('lib').flatMap((path) => {
    const made = path.replace('lib/', 'dist/').replace(/\.ts$/, '')
    // Nobody imports the command line.
    return made.startsWith('dist/cli/') ? [`${made}.js`] : [`${made}.js`, `${made}.d.ts`]
  })
  const native = ['binding', 'keys',
    'tls'].flatMap((folder) => readdirSync(join(ROOT, 'native', folder)).map((name) => `native/${folder}/${name}`))
  const docs = readdirSync(join(ROOT, 'docs'),
    { recursive: true, encoding: 'utf8' }).filter((name) => /\.(md|svg)$/.test(name)).map((name) => `docs/${name}`)
  const texts = [...docs, ...sources('examples'), 'CHANGELOG.md', 'LICENSE', 'README.md', 'SECURITY.md', 'THIRD-PARTY-NOTICES.md',
    'monitoring/alerts.yml', 'native/addon.gypi', 'native/binding.gyp', 'package.json']
  t.strictSame(paths.filter((path) => !BINARY.test(path)).sort(), [...library, ...native, ...texts].sort())
})

t.test('the built command is executable', async (t) => {
  // npx makes it so once, and not again after the next build.
  t.equal(statSync(join(ROOT, 'dist/cli/index.js')).mode & 0o111, 0o111)
})

t.test('the package contains all files that native/binding.gyp compiles, and triggers no compilation at installation', async (t) => {
  const compiled = readFileSync(join(ROOT, 'native/addon.gypi'), 'utf8').match(/\w+\/\w+\.cc/g) ?? []
  t.ok(compiled.length > 10)
  t.strictSame(compiled.filter((path) => !paths.includes(`native/${path}`)), [])
  // npm, Yarn and pnpm run `node-gyp rebuild` where they find this file in a package's root.
  t.notOk(paths.includes('binding.gyp'))
})

t.test('the notices name every package whose code is in the binary', async (t) => {
  const included = [
    ...readFileSync(join(ROOT, 'native/addon.gypi'), 'utf8').matchAll(
      /require\(\\?['"]([^'"\\]+)\\?['"]\)\.include_dir/g
    )
  ].map(([, name]) => name)
  t.strictSame(included, ['node-addon-api'])
  t.match(
    readFileSync(join(ROOT, 'THIRD-PARTY-NOTICES.md'), 'utf8'),
    /^## node-addon-api$[^]*Copyright \(c\) 2017[^]*The above copyright notice/m
  )
})

t.test('the release workflow requires the promised binaries and the address of the repository', async (t) => {
  const workflow = readFileSync(join(ROOT, '.github/workflows/release.yml'), 'utf8')
  for (const platform of PROMISED) t.match(workflow, platform)
  t.match(workflow, 'node scripts/check-binaries.js --all')
  t.match(workflow, 'node scripts/repository.js check')
})

t.test('the binary of this platform is in the package, stripped, and names no directory of this machine', async (t) => {
  const here = `prebuilds/${process.platform}-${process.arch}/fastify_ticket_keys.node`
  t.ok(paths.includes(here))
  const binary = readFileSync(join(ROOT, here), 'latin1')
  t.notOk(binary.includes(ROOT))
  // A symbol table, and so its section's name, is what stripping takes away.
  t.notOk(binary.includes('.symtab'))
})

t.test('with every promised binary it is under 1.5 MB unpacked', async (t) => {
  const binaries = packed.files.filter(({ path }) => BINARY.test(path)).map(({ size }) => size)
  const rest = packed.unpackedSize - binaries.reduce((sum, size) => sum + size, 0)
  // The other platforms' are about as large; .github/workflows/release.yml looks at the real sum.
  const all = rest + PROMISED.length * Math.max(...binaries)
  t.comment(`${rest} bytes, and ${Math.max(...binaries)} for each platform: ${all}`)
  t.ok(all < 1_500_000, `${all} bytes`)
})

t.test('npm runs no script when the package is installed', async (t) => {
  const { scripts, gypfile } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>
    gypfile: boolean
  }
  t.strictSame(['preinstall', 'install', 'postinstall', 'prepare'].filter((name) => name in scripts), [])
  t.equal(gypfile, false) // else npm would run node-gyp, for there is a binding.gyp
})

t.test('publint reports nothing', async (t) => {
  const { stdout } = await run(tool('publint'), ['run', packed.tarball, '--strict'])
  t.match(stdout, 'All good!')
})

t.test('attw reports nothing', async (t) => {
  // The profile node16 has the resolvers that read "exports". TypeScript's older "node10" does not, and finds no subpath.
  // The ignored rule is about CommonJS code that requires an ES module. All Node.js versions in "engines" can do that, and
  // commonjs.test-d.cts tests its types.
  const flags = ['--profile', 'node16', '--ignore-rules', 'cjs-resolves-to-esm', '--no-emoji', '--no-color']
  const { stdout } = await run(tool('attw'), [packed.tarball, ...flags])
  // It exits with a failure, and so rejects, where it finds a problem; what it shows is how each entry was resolved.
  t.match(stdout, /node16 \(from CJS\).*OK.*OK.*OK/)
  t.match(stdout, /node16 \(from ESM\).*OK.*OK.*OK/)
  t.match(stdout, /bundler.*OK.*OK.*OK/)
})
