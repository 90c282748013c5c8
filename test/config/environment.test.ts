import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { VARIABLES } from '../../lib/config/schema.js'
import { createTicketKeys } from '../../lib/create.js'
import { resolveOptions, type ResolvedOptions, type TicketKeysOptions } from '../../lib/config/options.js'
import { KEY_FORMATS, serializeKeys } from '../../lib/keys/formats/index.js'
import { ACCEPTS } from '../../lib/keys/key.js'
import { connect } from '../helpers/client.js'
import { idOf, issuerAt, randomKey } from '../helpers/keys.js'
import { LogCollector } from '../helpers/managed.js'
import { runModule } from '../helpers/process.js'
import { closeAll, plainHttps } from '../helpers/server.js'
import { READ_TYPESCRIPT } from '../helpers/typescript.js'
import { errorOf, resolve, SECRET } from '../helpers/environment.js'

t.teardown(closeAll)

/** The names of the keys that a source has, for a moment that is the same for all. */
async function namesOf ({ source }: ResolvedOptions): Promise<string[]> {
  const loaded = await source.load(1e12)
  return (loaded?.keys ?? []).map(({ name }) => name.toString('hex'))
}

t.test('every option variable has the effect of its option', (t) => {
  const same: Array<[variable: string, value: string, options: TicketKeysOptions]> = [
    ['ROTATION_INTERVAL', '90s', { rotationInterval: '90s' }],
    ['ROTATION_INTERVAL', '90000', { rotationInterval: 90_000 }],
    ['TICKET_LIFETIME', '15m', { ticketLifetime: '15m' }],
    ['TICKET_LIFETIME', ' 1.5 h ', { ticketLifetime: 5_400_000 }],
    ['MAX_SESSION_AGE', '7d', { maxSessionAge: '7d' }],
    ['TICKETS_PER_HANDSHAKE', '0', { ticketsPerHandshake: 0 }],
    ['TICKETS_PER_HANDSHAKE', '16', { ticketsPerHandshake: 16 }],
    ['TLS12_TICKETS', 'false', { tls12Tickets: false }],
    ['SESSION_ID_CONTEXT', 'a service', { sessionIdContext: 'a service' }],
    ['BIND_SERVER_NAME', 'false', { bindServerName: false }],
    ['RESUME_SNI_CALLBACK', 'true', { resumeSniCallback: true }],
    ['METRICS_PATH', '/m', { metrics: '/m' }],
    ['METRICS_PATH', 'off', { metrics: false }],
    ['REQUIRE_TLS', 'false', { requireTls: false }]
  ]
  const without = (resolved: ResolvedOptions): object => ({ ...resolved, source: resolved.source.type })
  const byDefault = without(resolve({}))
  for (const [variable, value, options] of same) {
    const inCode = without(resolveOptions({ environment: false, ...options }))
    t.strictSame(without(resolve({ [`TICKET_KEYS_${variable}`]: value })), inCode, `${variable}=${value}`)
    t.notSame(inCode, byDefault, `${variable} has an effect`)
  }
  const seen = [...same.map(([variable]) => variable), 'STRICT_PERMISSIONS', 'OPTIONAL']
  t.same(
    Object.keys(VARIABLES).filter((variable) => VARIABLES[variable]?.option !== undefined && !seen.includes(variable)),
    [],
    'all variables are tested'
  )
  t.end()
})

t.test('every source variable has the effect of its option', async (t) => {
  const directory = t.testdir()
  const at = (name: string, data: string | Buffer): string => {
    writeFileSync(join(directory, name), data, { mode: 0o600 })
    return join(directory, name)
  }
  const [first, second] = [randomKey(), randomKey()]
  const base64 = [first, second].map((key) => serializeKeys([key], 'nginx80').toString('base64'))
  t.equal(resolve({}).source.type, 'memory')

  const wrapped = base64.map((text) => `${text.slice(0, 64)}\n${text.slice(64)}`)
  for (const text of [base64.join(), base64.join(', '), wrapped.join()]) {
    const list = resolve({ TICKET_KEYS: text })
    t.equal(list.source.type, 'static')
    t.same(await namesOf(list), [first, second].map(({ name }) => name.toString('hex')))
  }

  const previous = randomBytes(40)
  const expected = await namesOf(
    resolveOptions({ environment: false, source: { type: 'secret', secret: SECRET, previousSecrets: [previous] } })
  )
  const [file, previousFile] = [at('secret', `${SECRET}\n`), at('previous', previous)]
  const secrets = resolve({ TICKET_KEYS_SECRET_FILE: file, TICKET_KEYS_PREVIOUS_SECRET_FILE: previousFile })
  t.equal(secrets.source.type, 'secret')
  t.same(await namesOf(secrets), expected)
  t.same(await namesOf(resolve({ TICKET_KEYS_SECRET: SECRET, TICKET_KEYS_PREVIOUS_SECRET_FILE: previousFile })), expected)
  const text = await namesOf(resolve({ TICKET_KEYS_SECRET: SECRET, TICKET_KEYS_PREVIOUS_SECRET: randomBytes(32).toString('hex') }))
  t.same(text.slice(0, text.length / 2), expected.slice(0, text.length / 2))

  t.equal(resolve({ TICKET_KEYS_DIRECTORY: directory }).source.type, 'directory')
  for (const format of KEY_FORMATS) {
    const half = format.endsWith('48') ? 16 : 32
    const key = randomKey({ notBefore: 0, issueUntil: 2e12, acceptUntil: 2e12 }, half)
    const path = at('keys', serializeKeys([key, randomKey(ACCEPTS, half)], format))
    const { source } = resolve({ TICKET_KEYS_FILE: path, TICKET_KEYS_FORMAT: format })
    t.equal(source.type, 'file')
    t.equal((await source.load(1e12))?.keys[0]?.name.equals(key.name), true, format)
  }
  const strict = resolve({ TICKET_KEYS_FILE: at('keys', ''), TICKET_KEYS_STRICT_PERMISSIONS: 'true' })
  chmodSync(join(directory, 'keys'), 0o644)
  await t.rejects(async () => await strict.source.load(1e12), { code: 'FST_TICKET_KEYS_SOURCE', message: 'can be read by everybody' })
})

t.test('options in code take precedence, and the variables that they replace are not read', (t) => {
  const data = {
    TICKET_KEYS_ROTATION_INTERVAL: '1m',
    TICKET_KEYS_TICKET_LIFETIME: '3m',
    TICKET_KEYS_TLS12_TICKETS: 'false',
    TICKET_KEYS_SECRET_FILE: '/no/such/file'
  }
  const resolved = resolve(data, { rotationInterval: '2m', tls12Tickets: true, source: { type: 'memory' } })
  t.match(resolved, { rotationInterval: 120_000, policy: { ticketLifetime: 180_000, tls12Tickets: true }, source: { type: 'memory' } })
  t.match(errorOf(data, { rotationInterval: '2m' }), { message: 'TICKET_KEYS_SECRET_FILE is not the path of a file' })
  const undefinedInCode = { rotationInterval: undefined } as unknown as TicketKeysOptions
  t.equal(resolve({ TICKET_KEYS_ROTATION_INTERVAL: '1m' }, undefinedInCode).rotationInterval, 60_000)
  t.equal(resolveOptions({ environment: false }).rotationInterval, 3_600_000)
  t.end()
})

t.test('another prefix', async (t) => {
  const key = randomKey()
  const text = serializeKeys([key], 'nginx80').toString('base64')
  const data = { MY_: 'x', MY_ROTATION_INTERVAL: '1m', TICKET_KEYS_ROTATION_INTERVAL: 'nonsense', MY: text }
  const resolved = resolveOptions({ environment: { prefix: 'MY_', data } })
  t.equal(resolved.rotationInterval, 60_000)
  t.same(await namesOf(resolved), [key.name.toString('hex')])
  t.same(resolved.warnings, ['MY_ is not a variable of fastify-ticket-keys'])
  t.same(Object.keys(data), ['MY_', 'MY_ROTATION_INTERVAL', 'TICKET_KEYS_ROTATION_INTERVAL'])
  t.equal(resolveOptions({ environment: { prefix: 'APP', data: { APPROTATION_INTERVAL: '1m', APP: text } } }).source.type, 'static')
})

t.test('a .env file is read if the caller asks for it; variables that are already set take precedence', (t) => {
  const directory = t.testdir({
    '.env': [
      'TICKET_KEYS_ROTATION_INTERVAL=1m',
      'TICKET_KEYS_TICKET_LIFETIME="3m"',
      'TICKET_KEYS_SECRET=',
      'TICKET_KEYS_TYPO=1',
      'TICKET_KEYS_PREVIOUS_SECRET=',
      'OTHER=1',
      ''
    ].join('\n')
  })
  const path = join(directory, '.env')
  const data = { TICKET_KEYS_TICKET_LIFETIME: '4m', TICKET_KEYS_ROTATION_INTERVAL: '' }
  const resolved = resolveOptions({ environment: { data, dotenv: { path } } })
  t.match(resolved, { rotationInterval: 60_000, policy: { ticketLifetime: 240_000 }, source: { type: 'memory' } })
  t.same(resolved.warnings, ['TICKET_KEYS_TYPO is not a variable of fastify-ticket-keys'])
  t.equal(resolveOptions({ environment: { data, dotenv: false } }).rotationInterval, 3_600_000)
  const running = execFileSync(process.execPath, [...READ_TYPESCRIPT, '--input-type=module', '-e', `
    const { resolveOptions } = await import(${JSON.stringify(new URL('../../lib/config/options.ts', import.meta.url).href)})
    const read = (environment) => resolveOptions({ environment }).rotationInterval
    console.log(JSON.stringify([read({ dotenv: true }), read({}), process.env.TICKET_KEYS_ROTATION_INTERVAL ?? null]))
  `], { cwd: directory, env: { ...process.env, NODE_OPTIONS: undefined } })
  t.same(JSON.parse(running.toString()), [60_000, 3_600_000, null])
  t.end()
})

async function issuesUnder (t: Test, data: NodeJS.ProcessEnv): Promise<{ id: string | undefined, log: LogCollector }> {
  const log = new LogCollector()
  const keys = await createTicketKeys({ environment: { data }, log })
  t.teardown(async () => { await keys.close() })
  const { server, port } = await plainHttps()
  keys.attach(server)
  return { id: await issuerAt(port), log }
}

t.test('a server gets its keys from the environment, and warnings are logged', async (t) => {
  const key = randomKey()
  const { id, log } = await issuesUnder(t, { TICKET_KEYS: serializeKeys([key], 'nginx80').toString('base64'), TICKET_KEYS_TYPO: 'x' })
  t.equal(id, idOf(key))
  t.same(log.of('warn'), ['TICKET_KEYS_TYPO is not a variable of fastify-ticket-keys'])
})

t.test('the plugin, configured only by variables, removes the secrets from process.env and from the environment of children', async (t) => {
  const running = runModule(
    `
    import { execFileSync } from 'node:child_process'
    import Fastify from 'fastify'
    import { plugin } from '../../lib/plugin.js'
    import { serverCert } from '../helpers/certs.js'
    const { key, cert } = await serverCert()
    const app = Fastify({ https: { key, cert } })
    await app.register(plugin)
    await app.listen({ port: 0, host: '127.0.0.1' })
    const child = execFileSync(process.execPath, ['-p', 'Object.keys(process.env).filter((name) => name.startsWith("TICKET_KEYS")).join()'])
    const { statusCode } = await app.inject('/metrics')
    process.send([app.server.address().port, app.ticketKeys.status().source, child.toString().trim(), statusCode])
    process.on('message', () => process.exit())
  `,
    { env: { TICKET_KEYS_SECRET: SECRET, TICKET_KEYS_TLS12_TICKETS: 'false', TICKET_KEYS_METRICS_PATH: 'off' } }
  )
  t.teardown(running.stop)
  const [port, ...rest] = await running.next() as [number, ...unknown[]]
  t.same(rest, ['secret', 'TICKET_KEYS_TLS12_TICKETS,TICKET_KEYS_METRICS_PATH', 404])
  const options = { port, rejectUnauthorized: false }
  t.equal((await connect({ ...options, protocol: 'TLSv1.2' })).tickets.length, 0)
  const { session } = await connect({ ...options, protocol: 'TLSv1.3' })
  t.equal((await connect({ ...options, session })).reused, true)
})
