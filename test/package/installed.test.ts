import { execFile, fork } from 'node:child_process'
import { once } from 'node:events'
import { accessSync, constants, existsSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import type { Test } from 'tap'
import { serverCert } from '../helpers/certs.js'
import { connect, PROTOCOLS } from '../helpers/client.js'
import { install, pack, runIn } from '../helpers/package.js'

const run = promisify(execFile)

// What the body of both servers does; they differ in how they get the package.
const SERVE = `
process.once('message', async (https) => {
  const app = Fastify({ https })
  await app.register(ticketKeys)
  app.get('/', async (request) => request.tlsSession)
  await app.listen({ port: 0, host: '127.0.0.1' })
  process.send({ port: app.server.address().port })
})
`

const project = await install(t, await pack(t), ['fastify'])

/** Starts a server in the project, and resumes from it over both protocols. */
async function servesAndResumes (t: Test, name: string, text: string): Promise<void> {
  const { key, cert } = await serverCert()
  writeFileSync(join(project.directory, name), text)
  const child = fork(name, { cwd: project.directory, env: project.env, execArgv: [] })
  try {
    child.send({ key, cert })
    const [{ port }] = await once(child, 'message') as [{ port: number }]
    for (const protocol of PROTOCOLS) {
      const first = await connect({ port, protocol })
      const second = await connect({ port, protocol, session: first.session })
      t.equal(first.reused, false)
      t.equal(second.reused, true)
      t.match(JSON.parse(first.body), { resumed: false, protocol })
      t.match(JSON.parse(second.body), { resumed: true, protocol, keyId: /^[0-9a-f]{8}$/ })
    }
  } finally {
    child.kill()
    await once(child, 'exit')
  }
}

t.test('no compiler is reachable, and nothing was built', async (t) => {
  t.strictSame(readdirSync(project.env['PATH'] as string).filter((name) => name !== 'cache'), ['node'])
  t.notOk(existsSync(join(project.installed, 'build')))
  t.notOk(existsSync(join(project.directory, 'node_modules/node-gyp')))
})

t.test('with import it serves and resumes', async (t) => {
  await servesAndResumes(t, 'serve.mjs', `import Fastify from 'fastify'\nimport ticketKeys from 'fastify-ticket-keys'\n${SERVE}`)
})

t.test('with require it serves and resumes', async (t) => {
  await servesAndResumes(t, 'serve.cjs', `const Fastify = require('fastify')\nconst ticketKeys = require('fastify-ticket-keys')\n${SERVE}`)
})

t.test('import and require give the same functions, from all entry points', async (t) => {
  const said = await runIn(project, 'entries.mjs', `
import { createRequire } from 'node:module'
import * as imported from 'fastify-ticket-keys'
import { shareTicketKeys } from 'fastify-ticket-keys/cluster'
import manifest from 'fastify-ticket-keys/package.json' with { type: 'json' }
const require = createRequire(import.meta.url)
const required = require('fastify-ticket-keys')
const names = Object.keys(imported).filter((name) => name !== 'module.exports')
console.log(JSON.stringify({
  names: names.sort(),
  same: names.every((name) => imported[name] === required[name]),
  plugin: required === imported.default,
  cluster: require('fastify-ticket-keys/cluster').shareTicketKeys === shareTicketKeys,
  manifest: require('fastify-ticket-keys/package.json').version === manifest.version
}))`)
  t.strictSame(JSON.parse(said), {
    names: ['TicketKeys', 'TicketStatus', 'createTicketKeys', 'default', 'fastifyTicketKeys', 'setTicketKeyCallback', 'tlsSession'],
    same: true,
    plugin: true,
    cluster: true,
    manifest: true
  })
})

t.test('the command line runs by its name', async (t) => {
  const { directory, env } = project
  const command = join(directory, 'node_modules/.bin/fastify-ticket-keys')
  accessSync(command, constants.X_OK)
  const keys = join(directory, 'tickets.json')
  const { stdout: version } = await run(command, ['--version'], { env })
  t.match(version, /^\d+\.\d+\.\d+\n$/)
  await run(command, ['generate', '--out', keys], { env })
  t.equal(statSync(keys).mode & 0o777, 0o600)
  const { stdout: inspected } = await run(command, ['inspect', keys], { env })
  t.match(inspected, /current/)
})

t.test('the package works for other servers without Fastify in the project', async (t) => {
  const bare = await install(t, await pack(t))
  t.notOk(existsSync(join(bare.directory, 'node_modules/fastify')))
  const said = await runIn(bare, 'bare.mjs', `
import { createServer } from 'node:https'
import { createTicketKeys } from 'fastify-ticket-keys'
const keys = await createTicketKeys()
keys.attach(createServer())
console.log(keys.status().servers)
await keys.close()`)
  t.equal(said, '1')
})
