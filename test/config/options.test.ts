import { inspect } from 'node:util'
import { randomBytes } from 'node:crypto'
import Fastify from 'fastify'
import t from 'tap'
import ticketKeys, { createTicketKeys } from '../../lib/index.js'
import { resolveOptions, type TicketKeysOptions } from '../../lib/config/options.js'
import { DEFAULT_OPTIONS } from '../../lib/config/schema.js'
import { DURATION, errorOf, faultsOf, MARK, refused } from '../helpers/option-errors.js'

const notDurations = [MARK, '1 year', '-1h', '', 'h', '1h30m', '9'.repeat(400), -1, NaN, Infinity, true, null, {}, [1000], 1n, `1h;${MARK}`]

t.test('register reports every wrong option in one error, by name and without a value, and leaves the servers unattached', async (t) => {
  const error = await refused(t, {
    source: { type: 'static', keys: [MARK, Buffer.from(MARK.repeat(4)).subarray(0, 47)], path: MARK, [MARK.toLowerCase()]: 1 },
    rotationInterval: MARK,
    ticketLifetime: `${MARK}h`,
    maxSessionAge: [MARK],
    ticketsPerHandshake: MARK,
    tls12Tickets: MARK,
    sessionIdContext: Buffer.from(MARK),
    bindServerName: 'false',
    resumeSniCallback: 0,
    strictPermissions: null,
    metrics: { path: MARK, instance: MARK, register: { registerMetric: MARK }, routeOptions: MARK, prefix: MARK },
    requireTls: MARK,
    rotationInterva: MARK
  })
  t.equal(error.code, 'FST_TICKET_KEYS_OPTIONS')
  t.type(error, TypeError)
  t.strictSame(faultsOf(error).sort(), [
    'rotationInterva is not an option',
    `rotationInterval ${DURATION}`,
    `ticketLifetime ${DURATION}`,
    `maxSessionAge ${DURATION}`,
    'ticketsPerHandshake must be a whole number from 0 to 16',
    'tls12Tickets must be true or false',
    'sessionIdContext must be a string',
    'bindServerName must be true or false',
    'resumeSniCallback must be true or false',
    'strictPermissions must be true or false',
    "metrics.path must be a path that begins with '/'",
    'metrics.instance must be a Fastify instance',
    'metrics.register must be a prom-client registry',
    'metrics.routeOptions must be an object',
    'metrics.prefix is not an option',
    'requireTls must be true or false',
    "source.path is not an option of the source 'static'",
    `source.${MARK.toLowerCase()} is not an option of the source 'static'`,
    'source.keys[0] must be a Buffer, or an object with name, aesKey and hmacKey',
    'source.keys[1] must have 80 bytes (nginx80 layout) or 48 (Node.js layout)'
  ].sort())
  t.notOk(inspect(error, { depth: null, showHidden: true }).includes(MARK))
})

t.test('durations', async (t) => {
  for (const name of ['rotationInterval', 'ticketLifetime', 'maxSessionAge']) {
    for (const value of notDurations) {
      t.strictSame(faultsOf(errorOf({ [name]: value })), [`${name} ${DURATION}`],
      `${name}: ${inspect(value)}`)
    }
    for (const value of ['0s', '0.9s']) t.strictSame(faultsOf(errorOf({ [name]: value })), [`${name} must be at least one second`])
    const withoutUnit = [`${name} must be at least one second (a number without a unit is in milliseconds)`]
    for (const value of [0, 999, '999', ' 300 ']) t.strictSame(faultsOf(errorOf({ [name]: value })), withoutUnit)
  }
  const lifetimes = ['604800000', 604_800_000, '7d', ' 168 h '].map((ticketLifetime) =>
    resolveOptions({ environment: false, ticketLifetime, maxSessionAge: '7d' }).policy.ticketLifetime)
  t.same(lifetimes, Array<number>(4).fill(604_800_000))
  t.equal(resolveOptions({ environment: false, ticketLifetime: '1.5s' }).policy.ticketLifetime, 1500)
  const seconds = ["ticketLifetime has no unit, so its number is in milliseconds: write a unit, such as '90s' or '2h'"]
  for (const ticketLifetime of [7200, '7200', 86_400, 604_800]) {
    t.same(resolveOptions({ environment: false, ticketLifetime }).warnings, seconds)
  }
  for (const name of ['rotationInterval', 'maxSessionAge']) {
    const { warnings } = resolveOptions({ environment: false, ticketLifetime: '2s', [name]: 7200 })
    t.match(warnings, [`${name} has no unit`])
  }
  for (const ticketLifetime of ['7200ms', '7200s', 7_200_000]) t.same(resolveOptions({ environment: false, ticketLifetime }).warnings, [])
})

t.test('lifetimes that contradict each other', async (t) => {
  t.same(faultsOf(errorOf({ ticketLifetime: '2h', maxSessionAge: '1h' })), ['maxSessionAge must not be shorter than ticketLifetime'])
  t.same(faultsOf(errorOf({ maxSessionAge: '119m' })), ['maxSessionAge must not be shorter than ticketLifetime (default 2h)'])
  const tooMany = ['rotationInterval is too short for ticketLifetime: more than 256 keys would have to be held']
  const tooManyByDefault = [tooMany[0]?.replace('ticketLifetime', 'ticketLifetime (default 2h)')]
  t.same(faultsOf(errorOf({ rotationInterval: '1s' })), tooManyByDefault)
  t.same(faultsOf(errorOf({ rotationInterval: '1s', ticketLifetime: '225s' })), tooMany)
  t.ok(resolveOptions({ environment: false, rotationInterval: '1s', ticketLifetime: '224s' }))
  t.same(faultsOf(errorOf({ rotationInterval: '1s', maxSessionAge: '1h' })),
    ['maxSessionAge must not be shorter than ticketLifetime (default 2h)', ...tooManyByDefault])
  const both = {
    rotationInterval: '10s',
    ticketLifetime: '25m',
    source: { type: 'secret', secret: randomBytes(32), previousSecrets: [randomBytes(32)] }
  }
  t.match(faultsOf(errorOf(both)), tooMany, 'each secret has its keys')
  t.ok(resolveOptions({ environment: false, ...both, source: { type: 'memory' } }))
  t.match(await refused(t, { rotationInterval: '1s' }), { code: 'FST_TICKET_KEYS_OPTIONS', message: `ticket keys: ${tooManyByDefault[0]}` })
})

t.test('numbers, flags and strings of other types', async (t) => {
  for (const value of [-1, 17, 1.5, NaN, '2', null, true]) {
    t.same(faultsOf(errorOf({ ticketsPerHandshake: value })), [
      'ticketsPerHandshake must be a whole number from 0 to 16'
    ])
  }
  for (const name of ['tls12Tickets', 'bindServerName', 'resumeSniCallback', 'strictPermissions', 'requireTls']) {
    for (const value of ['true', 1, null, {}]) t.same(faultsOf(errorOf({ [name]: value })), [`${name} must be true or false`])
  }
  for (const value of [1, null, Buffer.from('a'), ['a']]) {
    t.same(faultsOf(errorOf({ sessionIdContext: value })), ['sessionIdContext must be a string'])
  }
})

const METRICS = "metrics must be true, false, a path that begins with '/', or an object"

t.test('names that are reserved for later options are unknown', async (t) => {
  for (const name of ['dashboard', 'admin']) t.same(faultsOf(errorOf({ [name]: true })), [`${name} is not an option`])
})

t.test('metrics', async (t) => {
  for (const value of [null, 1, [], ['/metrics'], () => '/metrics']) t.same(faultsOf(errorOf({ metrics: value })), [METRICS])
  for (const value of ['', 'metrics']) t.same(faultsOf(errorOf({ metrics: value })), [METRICS])
  for (const path of ['metrics', 1, null]) {
    t.same(faultsOf(errorOf({ metrics: { path } })), ["metrics.path must be a path that begins with '/'"])
  }
  for (const value of [null, {}, 'app', 1]) {
    t.same(faultsOf(errorOf({ metrics: { instance: value } })), ['metrics.instance must be a Fastify instance'])
    t.same(faultsOf(errorOf({ metrics: { register: value } })), ['metrics.register must be a prom-client registry'])
  }
  for (const value of [null, [], 'no', 1]) {
    t.same(faultsOf(errorOf({ metrics: { routeOptions: value } })), ['metrics.routeOptions must be an object'])
  }
})

t.test('sources', async (t) => {
  const types = "'memory', 'static', 'secret', 'file', 'directory' or 'shared'"
  for (const value of [null, 'memory', 1, true]) {
    t.same(faultsOf(errorOf({ source: value })), [
      `source must be an object whose type is ${types}, or one with a load function (KeySource)`
    ])
  }
  for (const value of [{}, { type: 'Memory' }, { type: null }, { type: 'toString' }, [], { type: '__proto__' }]) {
    t.same(faultsOf(errorOf({ source: value })), [
      `source.type must be ${types}, or the object needs a load function (KeySource)`
    ])
  }
  for (const value of [{ load: 1, type: 'own' }, { load () {} }, { load () {}, type: 1 }]) {
    t.same(faultsOf(errorOf({ source: value })), ['source must have a type (a string) and a load function'])
  }
  t.same(faultsOf(errorOf({ source: { type: 'memory', keys: [] } })), ["source.keys is not an option of the source 'memory'"])
  for (const type of ['file', 'directory']) {
    t.same(faultsOf(errorOf({ source: { type, path: '', format: 'pem' } })).length, 2)
    t.same(faultsOf(errorOf({ source: { type } })), ['source.path must be a path'])
  }
  for (const previousSecrets of ['a secret', randomBytes(32), {}, null]) {
    t.same(faultsOf(errorOf({ source: { type: 'secret', secret: randomBytes(32), previousSecrets } })), [
      'source.previousSecrets must be an array'
    ])
  }
  for (const secret of [undefined, 1, 'short', Buffer.alloc(31, 'x'), Buffer.alloc(40)]) {
    t.match(faultsOf(errorOf({ source: { type: 'secret', secret } })), [/^source\.secret must /])
  }
})

t.test('options that are not an object', async (t) => {
  for (const options of [null, 1, 'options', true, [], () => {}]) {
    t.strictSame(faultsOf(errorOf(options)).at(0), 'the options must be an object', inspect(options))
    await t.rejects(createTicketKeys(options as never), { code: 'FST_TICKET_KEYS_OPTIONS', message: /the options must be an object/ })
  }
  for (const log of [{}, null, 'console', { info () {}, warn () {} }]) {
    await t.rejects(createTicketKeys({ environment: false, log: log as never, rotationInterval: MARK }), {
      message: /log must have .*; rotationInterval must be/
    })
  }
})

t.test('options are not modified, undefined counts as absent, and the defaults are those of the design', async (t) => {
  const options = Object.freeze({
    environment: false,
    rotationInterval: undefined,
    source: Object.freeze({ type: 'memory' })
  }) as unknown as TicketKeysOptions
  const resolved = resolveOptions(options)
  t.match(resolved, { rotationInterval: 3_600_000, requireTls: true, metrics: {}, metricsPathGiven: false, warnings: [] })
  const { sessionIdContext, ...policy } = resolved.policy
  t.strictSame(policy, {
    ticketLifetime: 7_200_000,
    maxSessionAge: 86_400_000,
    maxClockSkew: 3_600_000,
    tls12Tickets: true,
    bindServerName: true,
    resumeSniCallback: false,
    ticketsPerHandshake: 2
  })
  t.equal(sessionIdContext.length, 32)
  t.strictSame(DEFAULT_OPTIONS, {
    source: { type: 'memory' },
    rotationInterval: '1h',
    ticketLifetime: '2h',
    maxSessionAge: '24h',
    ticketsPerHandshake: 2,
    tls12Tickets: true,
    sessionIdContext: '',
    bindServerName: true,
    resumeSniCallback: false,
    strictPermissions: false,
    metrics: true,
    requireTls: true,
    optional: false,
    sessionData: null
  })
  const app = Fastify({ https: {} })
  t.teardown(() => app.close())
  await app.register(ticketKeys, options)
  t.ok(app.hasRoute({ method: 'GET', url: '/metrics' }))
})
