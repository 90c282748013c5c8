import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { mock } from 'node:test'
import t from 'tap'
import { startApp } from '../helpers/app.js'
import { SingleUseClient } from '../helpers/client.js'
import { applicationDirectory, blocks, countBlocks, readRepoFile } from '../helpers/docs.js'

const FILE = 'docs/testing.md'

t.test('the tests of the page pass', async (t) => {
  const code = blocks(FILE, 'js')
  t.equal(code.length, countBlocks(FILE), 'every block is run')
  const files = Object.fromEntries(code.map((block) => [/^\/\/ (\S+)\n/.exec(block)?.[1] ?? 'no name', block]))
  t.same(Object.keys(files), ['app.js', 'routes.test.js', 'resumption.test.js', 'timers.test.js', 'twice.test.js'])
  const directory = await applicationDirectory(t, files)
  const tests = Object.keys(files).filter((name) => name.endsWith('.test.js'))
  const { stdout } = await promisify(execFile)(process.execPath, ['--test', '--test-reporter=tap', ...tests], {
    cwd: directory, env: { ...process.env, NODE_OPTIONS: undefined, NODE_TEST_CONTEXT: undefined, TICKET_KEYS_SECRET: 'not read' }
  })
  t.match(stdout, /^# pass 5$/m)
  t.match(stdout, /^# fail 0$/m)
})

t.test('a faked clock in 1970 makes a server that issues no tickets, as the page says', async (t) => {
  t.match(readRepoFile(FILE), '`mock.timers.enable()` without options sets `Date` to 1970.')
  mock.timers.enable({ apis: ['Date'] })
  const year = new Date().getUTCFullYear()
  const { port, app } = await startApp(t)
  mock.timers.reset()
  t.equal(year, 1970)
  const client = new SingleUseClient({ port })
  for (let i = 0; i < 2; i++) await client.connect()
  t.match(client, { full: 2, resumed: 0 })
  await app.close()
})

t.test('moving a faked clock rotates nothing in a handshake, as the page says', async (t) => {
  mock.timers.enable({ apis: ['Date'], now: Date.now() })
  const { port } = await startApp(t)
  const client = new SingleUseClient({ port })
  await client.connect()
  mock.timers.tick(3 * 3_600_000)
  const { body } = await client.connect()
  mock.timers.reset()
  t.match(client, { full: 1, resumed: 1 })
  // In handshakes, the same key still issues, although three hours have passed in JavaScript.
  await client.connect()
  t.match(client, { full: 1, resumed: 2 })
  t.match(JSON.parse(body), { tlsSession: { resumed: true } })
})
