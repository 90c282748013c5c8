import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { localCertificate } from '../../examples/certificate.js'
import { install, pack, ROOT } from '../helpers/package.js'
import { fetchTools, runProgram } from '../helpers/package-managers.js'

// What docs/installing.md promises users of other test runners.

const RESUMED = /resumed \{ 'TLSv1\.2': 1, 'TLSv1\.3': 1 \}/
const project = await install(t, await pack(t), ['fastify'])
const { directory } = project
project.env['NO_COLOR'] = '1'
await localCertificate(directory)
const documented = readFileSync(join(ROOT, 'docs/installing.md'), 'utf8')

/** Serves and resumes. Fails if anything is wrong. Without its look at require(): jest replaces that. */
const program = readFileSync(join(ROOT, 'scripts/try-package.mjs'), 'utf8')
  .split('\n')
  .filter((line) => !line.includes('createRequire'))
  .join('\n')
  .replace('process.argv.slice(2)', "['key.pem', 'cert.pem']")
writeFileSync(join(directory, 'program.js'), program)
writeFileSync(join(directory, 'program.test.js'), "test('it resumes', async () => { await import('./program.js') }, 60_000)\n")

t.test('vitest and tsx work without settings', async (t) => {
  t.match(documented, '* **vitest** and **tsx** work without settings.')
  const vitest = join(await fetchTools('vitest@4'), 'node_modules/vitest/vitest.mjs')
  t.match(await runProgram(project, vitest, 'run', '--globals', 'program.test.js'), RESUMED)
  const tsx = join(ROOT, 'node_modules/tsx/dist/cli.mjs')
  writeFileSync(join(directory, 'program.ts'), `${program}\nexport type OnlyTypeScript = string\n`)
  t.match(await runProgram(project, tsx, 'program.ts'), RESUMED)
})

t.test('jest works with the option of Node.js that the docs name', async (t) => {
  const [, options = ''] = /jest\*\* needs `NODE_OPTIONS=(\S+)`/.exec(documented) ?? []
  t.equal(options, '--experimental-vm-modules')
  const jest = join(await fetchTools('jest@30'), 'node_modules/jest/bin/jest.js')
  const withOptions = { ...project, env: { ...project.env, NODE_OPTIONS: options } }
  t.match(await runProgram(withOptions, jest, 'program.test.js'), RESUMED)
})
