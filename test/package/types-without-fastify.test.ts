import { execFile } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { install, pack, ROOT } from '../helpers/package.js'

const run = promisify(execFile)
const TSC = join(ROOT, 'node_modules/typescript/bin/tsc')

t.test('createTicketKeys compiles without Fastify installed, and with skipLibCheck off', async (t) => {
  const { directory } = await install(t, await pack(t), ['@types/node'])
  t.notOk(existsSync(join(directory, 'node_modules/fastify')))
  writeFileSync(join(directory, 'use.ts'), `
import { createServer } from 'node:https'
import { createTicketKeys, tlsSession, type KeySource, type TicketKeys } from 'fastify-ticket-keys'
import { shareTicketKeys } from 'fastify-ticket-keys/cluster'
const source: KeySource = { type: 'mine', load: () => null }
const keys: TicketKeys = await createTicketKeys({ source, rotationInterval: '1h' })
keys.attach(createServer())
const resumed: boolean | undefined = tlsSession(null)?.resumed
console.log(resumed, shareTicketKeys)
// @ts-expect-error The compiler must reject this call: the types are not all any. The directive itself is an error otherwise.
await createTicketKeys({ rotationInterval: true })
`)
  for (const [module, moduleResolution] of [['nodenext', 'nodenext'], ['node20', 'node16'], ['esnext', 'bundler']]) {
    const options = { strict: true, skipLibCheck: false, noEmit: true, target: 'es2023', types: ['node'], module, moduleResolution }
    writeFileSync(join(directory, 'tsconfig.json'), JSON.stringify({ compilerOptions: options, files: ['use.ts'] }))
    const { stdout } = await run(process.execPath, [TSC, '-p', '.'], { cwd: directory }).catch((error: { stdout: string }) => error)
    t.equal(stdout, '', `module ${module}`)
  }
})
