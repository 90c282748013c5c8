import { execFile } from 'node:child_process'
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { install, pack, runIn } from '../helpers/package.js'

const run = promisify(execFile)

const project = await install(t, await pack(t))
rmSync(join(project.installed, 'prebuilds'), { recursive: true })

const ASK = `
import { createTicketKeys } from 'fastify-ticket-keys'
try {
  const keys = await createTicketKeys()
  console.log(JSON.stringify({ source: keys.status().source }))
  await keys.close()
} catch ({ code, message }) {
  console.log(JSON.stringify({ code, message }))
}`

t.test('without a matching binary, the error lists the searched files, and its command builds a binary', async (t) => {
  const { code, message } = JSON.parse(await runIn(project, 'ask.mjs', ASK)) as { code: string, message: string }
  t.equal(code, 'FST_TICKET_KEYS_NOT_BUILT')
  t.ok(message.includes(join(project.installed, 'native/build/Release/fastify_ticket_keys.node')), message)
  t.match(message, new RegExp(`prebuilds/${process.platform}-${process.arch}/fastify_ticket_keys\\.node`))
  const command = /by: (npm .+)$/.exec(message)?.[1]
  t.type(command, 'string')

  // As its reader would: in a shell of his own, which has a compiler, somewhere in his project.
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('npm_') && name !== 'NODE_OPTIONS')
  const env = { ...Object.fromEntries(own), PATH: `${dirname(process.execPath)}${delimiter}${process.env['PATH']}` }
  await run('/bin/sh', ['-c', command as string], { cwd: project.directory, env, maxBuffer: 2 ** 24 })
  t.ok(existsSync(join(project.installed, 'native/build/Release/fastify_ticket_keys.node')))
  t.notOk(readdirSync(join(project.directory, 'node_modules')).includes('node-gyp'))
  t.strictSame(JSON.parse(await runIn(project, 'ask.mjs', ASK)), { source: 'memory' })
})
