import { once } from 'node:events'
import { createServer } from 'node:net'
import { randomBytes } from 'node:crypto'
import { chmodSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { VARIABLES } from '../../lib/config/schema.js'
import { resolveOptions, type EnvironmentOptions, type TicketKeysOptions } from '../../lib/config/options.js'
import { closeAll } from '../helpers/server.js'
import { errorOf, resolve, SECRET } from '../helpers/environment.js'

t.teardown(closeAll)

t.test('an unreadable .env file is one of the reported problems, and so is a missing file that the caller names', (t) => {
  const directory = t.testdir({ empty: {}, broken: { '.env': {} } })
  const reports = (dotenv: NonNullable<EnvironmentOptions['dotenv']>, problem: string): void => {
    t.throws(() => resolveOptions({ environment: { data: {}, dotenv }, tls12Tickets: 'no' as unknown as boolean }), {
      code: 'FST_TICKET_KEYS_OPTIONS',
      message: `ticket keys: environment.dotenv names ${problem}; tls12Tickets must be true or false`
    })
  }
  reports({ path: directory }, `${directory}, which can't be read: EISDIR`)
  reports({ path: join(directory, 'missing') }, `${join(directory, 'missing')}, which can't be read: ENOENT`)
  const before = process.cwd()
  t.teardown(() => { process.chdir(before) })
  process.chdir(join(directory, 'broken'))
  reports(true, ".env, which can't be read: EISDIR")
  process.chdir(join(directory, 'empty'))
  for (const dotenv of [true, {}]) {
    t.equal(resolveOptions({ environment: { data: {}, dotenv } }).source.type, 'memory', 'the default .env file may be missing')
  }
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
