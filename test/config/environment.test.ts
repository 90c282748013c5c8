import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
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
import { readTypeScript } from '../helpers/typescript.js'

t.teardown(closeAll)

const SECRET = randomBytes(32).toString('hex')

/** What comes of an environment, and of options in code. */
function resolve (data: NodeJS.ProcessEnv, options: TicketKeysOptions = {}): ResolvedOptions {
  return resolveOptions({ environment: { data }, ...options })
}

/** The one error that an environment ends in. */
function errorOf (data: NodeJS.ProcessEnv, options?: TicketKeysOptions): { code?: string, message: string } {
  try {
    resolve(data, options)
  } catch (error) {
    return error as Error
  }
  return { message: 'no error' }
}

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
  const running = execFileSync(process.execPath, [...readTypeScript(), '--input-type=module', '-e', `
    const { resolveOptions } = await import(${JSON.stringify(new URL('../../lib/config/options.ts', import.meta.url).href)})
    const read = (environment) => resolveOptions({ environment }).rotationInterval
    console.log(JSON.stringify([read({ dotenv: true }), read({}), process.env.TICKET_KEYS_ROTATION_INTERVAL ?? null]))
  `], { cwd: directory, env: { ...process.env, NODE_OPTIONS: undefined } })
  t.same(JSON.parse(running.toString()), [60_000, 3_600_000, null])
  t.end()
})

t.test('an unreadable .env file is one of the reported problems', (t) => {
  const environment = { data: {}, dotenv: { path: t.testdir() } }
  const problems = 'environment.dotenv names a file that cannot be read (EISDIR); tls12Tickets must be true or false'
  t.throws(() => resolveOptions({ environment, tls12Tickets: 'no' as unknown as boolean }), {
    code: 'FST_TICKET_KEYS_OPTIONS',
    message: problems
  })
  t.end()
})

t.test('one error names each wrong variable and the form that it should have, and shows no value', (t) => {
  const wrong: Array<[variable: string, form: string]> = [
    ['ROTATION_INTERVAL', "must be milliseconds as a number, or a string such as '90s', '15m', '12h' or '7d'"],
    ['TICKET_LIFETIME', "must be milliseconds as a number, or a string such as '90s', '15m', '12h' or '7d'"],
    ['MAX_SESSION_AGE', "must be milliseconds as a number, or a string such as '90s', '15m', '12h' or '7d'"],
    ['TICKETS_PER_HANDSHAKE', 'must be a whole number from 0 to 16'],
    ['TLS12_TICKETS', 'must be true or false'],
    ['BIND_SERVER_NAME', 'must be true or false'],
    ['RESUME_SNI_CALLBACK', 'must be true or false'],
    ['STRICT_PERMISSIONS', 'must be true or false'],
    ['METRICS_PATH', "must be a path that begins with '/', or off"],
    ['REQUIRE_TLS', 'must be true or false'],
    ['OPTIONAL', 'must be true or false'],
    ['FORMAT', 'must be one of json, nginx48, nginx80, node48, haproxy, lighttpd'],
    ['SECRET', 'must have at least 32 bytes, a line end at its end not counted'],
    ['PREVIOUS_SECRET_FILE', 'is not the path of a file (it takes a path, not the secret itself)']
  ]
  const value = 'c0nfidential'
  const data = Object.fromEntries(wrong.map(([variable]) => [`TICKET_KEYS_${variable}`, value]))
  const { code, message } = errorOf(data)
  t.equal(code, 'FST_TICKET_KEYS_OPTIONS')
  t.same(message.replace('ticket keys: ', '').split('; ').sort(), wrong.map(([variable, form]) => `TICKET_KEYS_${variable} ${form}`).sort())
  t.notMatch(message, value)
  t.end()
})

t.test('wrong combinations of variables, and values that only this package refuses', (t) => {
  const cases: Array<[data: Record<string, string>, message: string]> = [
    [{ ROTATION_INTERVAL: '999ms' }, 'TICKET_KEYS_ROTATION_INTERVAL must be at least one second'],
    [{ TICKET_LIFETIME: '8d' }, 'TICKET_KEYS_TICKET_LIFETIME must be at most 7 days'],
    [
      { TICKET_LIFETIME: '2d' },
      'maxSessionAge (TICKET_KEYS_MAX_SESSION_AGE, default 24h) must not be shorter than TICKET_KEYS_TICKET_LIFETIME'
    ],
    [
      { ROTATION_INTERVAL: '1s' },
      'TICKET_KEYS_ROTATION_INTERVAL is too short for ticketLifetime (TICKET_KEYS_TICKET_LIFETIME, default 2h): ' +
      'more than 256 keys would have to be held'
    ],
    [
      { SECRET, PREVIOUS_SECRET: 'short' },
      'TICKET_KEYS_PREVIOUS_SECRET must have at least 32 bytes, a line end at its end not counted'
    ],
    [{ SECRET: 'a'.repeat(64) }, 'TICKET_KEYS_SECRET must not be one byte repeated'],
    [{ ROTATION_INTERVAL: '300' },
      'TICKET_KEYS_ROTATION_INTERVAL must be at least one second (a number without a unit is in milliseconds)'],
    [{ MAX_SESSION_AGE: '86400' },
      'TICKET_KEYS_MAX_SESSION_AGE (in milliseconds, because it has no unit) must not be shorter than ' +
      'ticketLifetime (TICKET_KEYS_TICKET_LIFETIME, default 2h)'],
    [{ SECRET, PREVIOUS_SECRET: SECRET }, 'TICKET_KEYS_PREVIOUS_SECRET must be another secret than those before it'],
    [
      { SECRET, TICKET_LIFETIME: '1h', ROTATION_INTERVAL: '29s', PREVIOUS_SECRET: `${SECRET}.` },
      'TICKET_KEYS_ROTATION_INTERVAL is too short for TICKET_KEYS_TICKET_LIFETIME'
    ],
    [{ PREVIOUS_SECRET: SECRET }, 'TICKET_KEYS_PREVIOUS_SECRET needs TICKET_KEYS_SECRET or TICKET_KEYS_SECRET_FILE'],
    [{ FORMAT: 'json', SECRET }, 'TICKET_KEYS_FORMAT needs TICKET_KEYS_FILE or TICKET_KEYS_DIRECTORY'],
    [
      { '': 'AAAA' },
      'TICKET_KEYS must be comma-separated base64, 80 bytes a key: name, HMAC key, AES key (key 1 is not)'
    ],
    [
      { '': `${randomBytes(80).toString('base64')},@` },
      'TICKET_KEYS must be comma-separated base64, 80 bytes a key: name, HMAC key, AES key (key 2 is not)'
    ]
  ]
  for (const [variables, message] of cases) {
    const data = Object.fromEntries(
      Object.entries(variables).map(([name, value]) => [name === '' ? 'TICKET_KEYS' : `TICKET_KEYS_${name}`, value])
    )
    const error = errorOf(data)
    t.match(error, { code: 'FST_TICKET_KEYS_OPTIONS', message: `ticket keys: ${message}` })
    t.notMatch(error.message, '; ', 'one problem')
    t.ok(Object.values(variables).every((value) => value.length < 4 || !error.message.includes(value)), 'no value in it')
  }
  const zeros = errorOf({ TICKET_KEYS: Buffer.concat([randomBytes(48), Buffer.alloc(32)]).toString('base64') })
  t.match(zeros, { code: 'FST_TICKET_KEYS_WEAK_KEY', message: 'ticket keys: TICKET_KEYS[0]: its AES key is all zero' })
  for (const [environment, message] of [
    [{ prefix: '' }, 'environment.prefix must be'],
    [{ prefix: 'A-' }, 'environment.prefix must be'],
    [{ prefx: 'A_' }, 'environment.prefx is not an option'],
    [{ dotenv: '.env' }, 'environment.dotenv must be'],
    [{ data: 1 }, 'environment.data must be'],
    [true, 'environment must be']
  ] as const) {
    t.throws(() => resolveOptions({ environment: environment as unknown as false }), {
      code: 'FST_TICKET_KEYS_OPTIONS',
      message
    })
  }
  t.end()
})

t.test('two sources, or a variable together with its _FILE variable, are an error that names both', (t) => {
  const sources = ['TICKET_KEYS', 'TICKET_KEYS_SECRET', 'TICKET_KEYS_SECRET_FILE', 'TICKET_KEYS_FILE', 'TICKET_KEYS_DIRECTORY']
  const twins = [['TICKET_KEYS_SECRET', 'TICKET_KEYS_SECRET_FILE'], ['TICKET_KEYS_PREVIOUS_SECRET', 'TICKET_KEYS_PREVIOUS_SECRET_FILE']]
  const pairs = sources.flatMap((one, index) => sources.slice(index + 1).map((other) => [one, other])).concat(twins)
  t.equal(pairs.length, 12)
  for (const pair of pairs) {
    const data = Object.fromEntries(pair.map((name) => [name, SECRET]))
    const { code, message } = errorOf(data)
    t.equal(code, 'FST_TICKET_KEYS_TWO_SOURCES')
    t.match(message, new RegExp(`^ticket keys: ${pair[0]} and ${pair[1]} `))
    t.notOk(message.includes(SECRET))
    t.same(Object.keys(data).filter((name) => /(SECRET|KEYS)$/.test(name)), [], 'secrets are still deleted')
  }
  t.end()
})

t.test('secrets are deleted from the environment in every case; other variables stay', (t) => {
  const rest = { TICKET_KEYS_ROTATION_INTERVAL: '1h', HOME: '/', TICKET_KEYS_SECRETS: 'x' }
  for (const [data, options] of [
    [{ TICKET_KEYS_SECRET: SECRET, TICKET_KEYS_PREVIOUS_SECRET: `${SECRET}.` }, {}],
    [{ TICKET_KEYS: randomBytes(80).toString('base64') }, {}],
    [{ TICKET_KEYS_SECRET: 'too short' }, {}],
    [{ TICKET_KEYS: 'not a key' }, {}],
    [{ TICKET_KEYS_SECRET: SECRET }, { source: { type: 'memory' } }],
    [{ TICKET_KEYS_SECRET: SECRET }, { rotationInterval: 'nonsense' }]
  ] as Array<[NodeJS.ProcessEnv, TicketKeysOptions]>) {
    const environment: NodeJS.ProcessEnv = { ...rest, ...data }
    errorOf(environment, options)
    t.same(environment, rest)
  }
  t.end()
})

t.test('empty variables count as absent, and unknown variables cause a warning', (t) => {
  const empty = Object.fromEntries(Object.keys(VARIABLES).map((name) => [name === '' ? 'TICKET_KEYS' : `TICKET_KEYS_${name}`, '']))
  const resolved = resolve({
    ...empty,
    TICKET_KEYS_ROTATION_INTERVALL: '1h',
    TICKET_KEYS_FILE_FILE: '',
    TICKET_KEY_FILE: 'x',
    ticket_keys_file: 'x'
  })
  t.strictSame({ ...resolved, source: resolved.source.type, warnings: [] }, { ...resolve({}), source: 'memory' })
  t.same(resolved.warnings, ['TICKET_KEYS_ROTATION_INTERVALL is not a variable of fastify-ticket-keys'])
  t.end()
})

t.test('a secret file that everybody can write is refused; one that everybody can read is a warning or an error', (t) => {
  const path = join(t.testdir({ secret: SECRET, directory: {} }), 'secret')
  const data = { TICKET_KEYS_SECRET_FILE: path }
  chmodSync(path, 0o644)
  const warning = 'TICKET_KEYS_SECRET_FILE names a file that can be read by everybody: chmod o-r'
  t.same(resolve(data).warnings, [warning])
  t.equal(errorOf(data, { strictPermissions: true }).message, `ticket keys: ${warning}`)
  t.equal(errorOf({ ...data, TICKET_KEYS_STRICT_PERMISSIONS: 'true' }).message, `ticket keys: ${warning}`)
  t.same(
    resolve({ ...data, TICKET_KEYS_STRICT_PERMISSIONS: 'true' }, { strictPermissions: false }).warnings,
    [warning],
    'the option in code takes precedence'
  )
  chmodSync(path, 0o602)
  t.match(errorOf(data).message, 'TICKET_KEYS_SECRET_FILE names a file that can be written by everybody: chmod o-w')
  t.match(errorOf({ TICKET_KEYS_SECRET_FILE: join(path, '../directory') }).message, 'names a file that is not a file')
  t.end()
})

t.test('a missing file with a secret is named if it can be a path, and a secret in its place is not shown', async (t) => {
  const directory = t.testdir({ sub: {}, 'short-secret': 'short' })
  const before = process.cwd()
  process.chdir(directory)
  t.teardown(() => { process.chdir(before) })
  const named = (path: string): void => {
    t.equal(errorOf({ TICKET_KEYS_SECRET_FILE: path }).message,
      `ticket keys: TICKET_KEYS_SECRET_FILE names ${path}, which can't be read: ENOENT`)
  }
  named(join(directory, 'missing'))
  named('./missing')
  named('sub/missing')
  const base64 = randomBytes(32).toString('base64')
  for (const secret of [
    'missing', '/missing', '//missing', '/./missing', `${directory}/none/missing`, 'missing/', 'short-secret/',
      `/${base64.replaceAll('/', 'a')}`,
      base64.replaceAll('/', 'a'), `${base64.slice(0, 20).replaceAll('/', 'a')}/${base64.slice(20)}`, `${'a'.repeat(300)}`, 'nul\0byte'
  ]) {
    const { message } = errorOf({ TICKET_KEYS_SECRET_FILE: secret })
    t.equal(message, 'ticket keys: TICKET_KEYS_SECRET_FILE is not the path of a file (it takes a path, not the secret itself)')
  }
  const listener = createServer().listen('socket')
  await once(listener, 'listening')
  t.teardown(() => { listener.close() })
  t.equal(errorOf({ TICKET_KEYS_SECRET_FILE: 'socket' }).message,
    "ticket keys: TICKET_KEYS_SECRET_FILE names a file that can't be read: ENXIO")
  const short = errorOf({ TICKET_KEYS_SECRET_FILE: 'short-secret' }).message
  t.equal(short,
    'ticket keys: TICKET_KEYS_SECRET_FILE names a file whose content must have at least 32 bytes, a line end at its end not counted')
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
