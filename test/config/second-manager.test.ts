import { randomBytes } from 'node:crypto'
import { cpSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import { resolveOptions, type TicketKeysOptions } from '../../lib/config/options.js'
import { createTicketKeys } from '../../lib/create.js'
import { serializeKeys } from '../../lib/keys/formats/index.js'
import { connect } from '../helpers/client.js'
import { randomKey } from '../helpers/keys.js'
import { LogCollector } from '../helpers/managed.js'
import { ROOT } from '../helpers/package.js'
import { runModule } from '../helpers/process.js'
import { closeAll, plainHttps } from '../helpers/server.js'

t.teardown(closeAll)

const secretText = (): string => randomBytes(32).toString('hex')

/** Returns the names of the keys that an environment gives at a fixed time. */
async function namesOf (data: NodeJS.ProcessEnv, options: TicketKeysOptions = {}): Promise<string[]> {
  const { source } = resolveOptions({ environment: { data }, ...options })
  const loaded = await source.load(1e12)
  return (loaded?.keys ?? []).map(({ name }) => name.toString('hex'))
}

t.test('a public and an admin server: the second manager resumes the tickets of the first', async (t) => {
  const key = serializeKeys([randomKey()], 'nginx80').toString('base64')
  for (const data of [{ TICKET_KEYS_SECRET: secretText(), TICKET_KEYS_PREVIOUS_SECRET: secretText() },
    { TICKET_KEYS: key }] as NodeJS.ProcessEnv[]) {
    const ports: number[] = []
    for (let count = 0; count < 3; count++) {
      const keys = await createTicketKeys({ environment: { data }, log: new LogCollector() })
      t.teardown(async () => { await keys.close() })
      t.same(data, {}, 'the variables are gone')
      const { server, port } = await plainHttps()
      keys.attach(server)
      ports.push(port)
      // The kept values outlive the manager that read them first.
      if (count === 0) { await keys.close(); ports.pop() }
    }
    const [first, second] = ports as [number, number]
    for (const protocol of ['TLSv1.2', 'TLSv1.3'] as const) {
      const { session } = await connect({ port: first, protocol, rejectUnauthorized: false })
      t.equal((await connect({ port: second, protocol, session, rejectUnauthorized: false })).reused, true, protocol)
    }
  }
})

t.test('a value set again wins, an empty one is forgotten, and so are the values if another source is selected', async (t) => {
  const [one, two, previous] = [secretText(), secretText(), secretText()]
  const data: NodeJS.ProcessEnv = { TICKET_KEYS_SECRET: one, TICKET_KEYS_PREVIOUS_SECRET: previous }
  const ofOne = await namesOf(data)
  t.same(await namesOf(data), ofOne)
  data['TICKET_KEYS_SECRET'] = two
  const ofTwo = await namesOf(data)
  t.notSame(ofTwo, ofOne)
  t.same(ofTwo.slice(ofTwo.length / 2), ofOne.slice(ofOne.length / 2), 'the other variable keeps its value')
  t.same(await namesOf(data), ofTwo)
  data['TICKET_KEYS_PREVIOUS_SECRET'] = ''
  t.same(await namesOf(data), ofTwo.slice(0, ofTwo.length / 2))
  data['TICKET_KEYS_PREVIOUS_SECRET'] = previous
  t.same(await namesOf(data), ofTwo, 'one variable may be set alone')
  t.equal(resolveOptions({ environment: { data, prefix: 'OTHER_' } }).source.type, 'memory', 'another prefix has its own variables')
  const key = randomKey()
  data['TICKET_KEYS_FILE'] = join(t.testdir({ 'tickets.json': serializeKeys([key], 'json') }), 'tickets.json')
  t.same(await namesOf(data), [key.name.toString('hex')])
  delete data['TICKET_KEYS_FILE']
  t.equal(resolveOptions({ environment: { data } }).source.type, 'memory')
})

t.test('what was wrong the first time is wrong again, and a value in code hides nothing from the next manager', async (t) => {
  const both: NodeJS.ProcessEnv = { TICKET_KEYS_SECRET: secretText(), TICKET_KEYS_FILE: '/run/keys/tickets.json' }
  for (const time of ['first', 'second']) {
    t.throws(() => resolveOptions({ environment: { data: both } }),
      { code: 'FST_TICKET_KEYS_TWO_SOURCES' }, time)
  }
  const short: NodeJS.ProcessEnv = { TICKET_KEYS_SECRET: 'short' }
  for (const time of ['first', 'second']) {
    t.throws(() => resolveOptions({ environment: { data: short } }),
      { message: /^ticket keys: TICKET_KEYS_SECRET must have/ }, time)
  }
  const data: NodeJS.ProcessEnv = { TICKET_KEYS_SECRET: secretText() }
  t.equal(resolveOptions({ environment: { data }, source: { type: 'memory' } }).source.type, 'memory')
  t.equal(resolveOptions({ environment: { data } }).source.type, 'secret')
  t.equal(resolveOptions({ environment: { data } }, undefined, true).source.type, 'secret', 'shareTicketKeys after a manager')
  const path = join(t.testdir({ '.env': `TICKET_KEYS_SECRET=${secretText()}\n` }), '.env')
  t.same(await namesOf(data, { environment: { data, dotenv: { path } } }), await namesOf(data),
    'the value comes before the one of a .env file, as before it was deleted')
})

t.test('every copy of the package in the process has the same source', async (t) => {
  const root = t.testdir({ copy: {}, bare: {} })
  for (const copy of ['copy', 'bare']) {
    for (const part of ['dist', 'package.json', ...copy === 'copy' ? ['build', 'binding.gyp'] : []]) {
      cpSync(join(ROOT, part),
        join(root, copy, part), { recursive: true })
    }
    symlinkSync(join(ROOT, 'node_modules'), join(root, copy, 'node_modules'))
  }
  const at = (copy: string): string => JSON.stringify(pathToFileURL(join(root, copy, 'dist/index.js')).href)
  const running = runModule(`
    import { createRequire } from 'node:module'
    import { createTicketKeys } from '../../lib/create.js'
    const log = { info () {}, warn () {}, error () {} }
    const sources = []
    const start = async (create,
      options = {}) => { sources.push(await create({ log, ...options }).then((keys) => keys.status().source, ({ message }) => message)) }
    await start(createTicketKeys)
    process.env = { ...process.env }
    await start((await import(${at('copy')})).createTicketKeys)
    await start(createRequire(import.meta.url)(${JSON.stringify(join(root, 'copy/dist/index.js'))}).createTicketKeys)
    const bare = (await import(${at('bare')})).createTicketKeys
    // Without the addon there is no locked memory. The name alone is kept: no keys are managed there.
    process.env.TICKET_KEYS_SECRET = '${secretText()}'
    await start(bare, { optional: true })
    await start(bare, { optional: true })
    await start(createTicketKeys)
    process.env.TICKET_KEYS_SECRET = '${secretText()}'
    await start(createTicketKeys)
    await start(createTicketKeys)
    process.send([sources, Object.keys(process.env).filter((name) => name.startsWith('TICKET_KEYS'))])
    process.on('message', () => process.exit())
  `, { env: { TICKET_KEYS_SECRET: secretText() } })
  t.teardown(running.stop)
  const lost = 'ticket keys: TICKET_KEYS_SECRET was read and deleted before, ' +
    'and there was no locked memory to keep its value in: set it again'
  t.same(await running.next(), [['secret', 'secret', 'secret', 'secret', 'secret', lost, 'secret', 'secret'], []])
})
