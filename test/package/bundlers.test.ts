import { execFile } from 'node:child_process'
import { copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { localCertificate } from '../../examples/certificate.js'
import { blocks } from '../helpers/docs.js'
import { install, pack, ROOT } from '../helpers/package.js'
import { fetchNode, fetchTools, runProgram } from '../helpers/package-managers.js'

const run = promisify(execFile)
const RESUMED = /resumed \{ 'TLSv1\.2': 1, 'TLSv1\.3': 1 \}/
const project = await install(t, await pack(t), ['fastify'])
const { directory } = project
await localCertificate(directory)

const tools = {
  esbuild: join(await fetchTools('esbuild@0.28'), 'node_modules/esbuild/bin/esbuild'),
  webpack: join(await fetchTools('webpack@5', 'webpack-cli@6'), 'node_modules/webpack-cli/bin/cli.js'),
  rollup: join(await fetchTools('rollup@4'), 'node_modules/rollup/dist/bin/rollup'),
  ncc: join(await fetchTools('@vercel/ncc'), 'node_modules/@vercel/ncc/dist/ncc/cli.js')
}
type Bundler = keyof typeof tools

/** The commands and configuration files of docs/installing.md, by bundler. */
const documented = blocks('docs/installing.md', 'sh', '## Bundlers')
const configurations = blocks('docs/installing.md', 'js', '## Bundlers')

function commandOf (bundler: Bundler): string[] {
  const command = documented.join('\n').split('\n').find((line) => line.startsWith(`npx ${bundler} `))
  if (command === undefined) throw new Error(`docs/installing.md has no command for ${bundler}`)
  return command.trim().split(/\s+/).slice(2)
}

// Without its look at require(): webpack turns that into an import.
const server = readFileSync(join(ROOT, 'scripts/try-package.mjs'), 'utf8')
  .split('\n')
  .filter((line) => !line.includes('createRequire'))
  .join('\n')
writeFileSync(join(directory, 'server.mjs'), server)
for (const text of configurations) {
  const [, name = ''] = /^\/\/ (\S+)/.exec(text) ?? []
  writeFileSync(join(directory, name), text)
}

for (const bundler of Object.keys(tools) as Bundler[]) {
  t.test(`${bundler}: the configuration in docs/installing.md makes a bundle that serves and resumes`, async (t) => {
    const output = join(directory, `out/${bundler}`)
    const args = commandOf(bundler)
    await runProgram(project, tools[bundler], ...args)
    const bundle = ['server.mjs', 'server.cjs', 'index.mjs', 'index.js'].map((name) => join(output, name)).find((path) => existsSync(path))
    t.ok(bundle, 'there is a bundle')
    t.notMatch(readFileSync(bundle as string, 'utf8'), 'FST_TICKET_KEYS_NOT_BUILT', 'the package is not in it')
    t.match(await runProgram(project, bundle as string, 'key.pem', 'cert.pem'), RESUMED)
  })
}

t.test('a bundle that contains the package imports without an error, and its error names the bundler', async (t) => {
  writeFileSync(join(directory, 'inside.mjs'), `
import { createTicketKeys } from 'fastify-ticket-keys'
createTicketKeys({ environment: false }).catch(({ code, message }) => console.log(code, message))`)
  const options = ['inside.mjs', '--bundle', '--platform=node', '--log-level=error']
  for (const format of ['cjs', 'esm']) {
    const outfile = format === 'cjs' ? 'out/inside.cjs' : 'out/inside-esm.mjs'
    const banner =
      format === 'esm'
        ? [
            "--banner:js=import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url)"
          ]
        : []
    await runProgram(project, tools.esbuild, ...options, ...banner, `--format=${format}`, `--outfile=${outfile}`)
    const said = await runProgram(project, outfile)
    t.match(said, /^FST_TICKET_KEYS_NOT_BUILT .*bundler.*docs\/installing\.md/, format)
    t.notMatch(said, 'compiler')
  }
})

t.test('a single executable application with node_modules beside it serves and resumes', async (t) => {
  const node = await fetchNode('24')
  writeFileSync(join(directory, 'main.cjs'), "require('node:module').createRequire(process.execPath)('./start.cjs')")
  writeFileSync(join(directory, 'start.cjs'), "import('./server.mjs')")
  writeFileSync(join(directory, 'sea.json'), JSON.stringify({ main: 'main.cjs', output: 'sea.blob', disableExperimentalSEAWarning: true }))
  await run(node, ['--experimental-sea-config', 'sea.json'], { cwd: directory, env: project.env })
  const executable = join(directory, 'application')
  copyFileSync(node, executable)
  const postject = join(await fetchTools('postject@1.0.0-alpha.6'), 'node_modules/postject/dist/cli.js')
  const fuse = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2'
  await runProgram(project, postject, executable, 'NODE_SEA_BLOB', 'sea.blob', '--sentinel-fuse', fuse)
  const { stdout } = await run(executable, ['key.pem', 'cert.pem'], { cwd: directory, env: project.env })
  t.match(stdout, RESUMED)
})
