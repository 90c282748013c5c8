import { execFile } from 'node:child_process'
import { cpSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { install, pack, ROOT } from '../helpers/package.js'

const run = promisify(execFile)

// @types/node and fastify are what a TypeScript user of the plugin has besides.
const project = await install(t, await pack(t), ['fastify', '@types/node'])

t.test('the installed types accept correct code and refuse wrong code', async (t) => {
  cpSync(join(ROOT, 'test/types'), join(project.directory, 'types'), { recursive: true })
  const files = readdirSync(join(project.directory, 'types')).filter((name) => /\.test-d\.c?ts$/.test(name))
  t.ok(files.length >= 4)
  // Fails, and so rejects, with what tsc says of a line that should compile and doesn't, or the other way round.
  const { stdout } = await run(
    process.execPath,
    [join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', 'types', '--listFiles'],
    { cwd: project.directory }
  )
  t.strictSame(files.filter((name) => !stdout.includes(`/types/${name}`)), [])
  t.match(stdout, '/node_modules/fastify-ticket-keys/dist/index.d.ts')
  t.notMatch(stdout, `${ROOT}lib/`)
})
