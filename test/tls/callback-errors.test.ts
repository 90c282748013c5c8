import { Certificate, randomBytes } from 'node:crypto'
import t from 'tap'
import {
  setTicketKeyCallback, type TicketKeyDecision
} from '../../lib/index.js'
import { connect, PROTOCOLS } from '../helpers/client.js'
import { until } from '../helpers/process.js'
import { closeAll, plainHttps } from '../helpers/server.js'
import { Accept, makeKey, Renew, scripted, seen } from '../helpers/scripted-callback.js'

t.teardown(closeAll)

for (const protocol of PROTOCOLS) {
  const many = protocol === 'TLSv1.3' ? 2 : 1
  const full = { reused: false, status: 200, tickets: many }
  const issues = Array<string>(many).fill('issue')

  t.test(`${protocol}: a callback that throws or returns an invalid value costs a full handshake, and is reported`, async (t) => {
    const key = makeKey()
    const { port, script, errors, asked } = await scripted(t, key)
    const { session } = await connect({ port, protocol })
    asked()
    const overflow = (): never => overflow()
    const throwing = (what: unknown): never => { throw what }
    const answers: Array<[name: string, answer: () => unknown, message: RegExp]> = [
      ['an Error', () => { throw new Error('out of keys') }, /out of keys/],
      ['a string thrown', () => throwing('rubbish'), /it threw a value that is not an Error/],
      ['null thrown', () => throwing(null), /it threw a value that is not an Error/],
      ['the end of the stack', overflow, /call stack/],
      ['nothing', () => undefined, /must return \{ status, key \}$/],
      ['null', () => null, /must return \{ status, key \}$/],
      ['a bare status', () => Accept, /must return \{ status, key \}$/],
      ['a promise', async () => ({ status: Accept, key }), /not a promise/],
      ['a promise that is rejected', async () => { throw new Error('later') }, /not a promise/],
      ['no status', () => ({ key }), /status must be/],
      ['another status', () => ({ status: 3, key }), /status must be/],
      ['a status of another type', () => ({ status: '1', key }), /status must be/],
      ['NaN', () => ({ status: NaN, key }), /status must be/],
      ['no key', () => ({ status: Accept }), /key\.name must be/],
      ['null for a key', () => ({ status: Renew, key: null }), /key\.name must be/],
      ['a short name', () => ({ status: Accept, key: { ...key, name: key.name.subarray(1) } }), /key\.name must be/],
      ['a name that is text', () => ({ status: Accept, key: { ...key, name: '0123456789abcdef' } }), /key\.name must be/],
      ['an AES key of 24 bytes', () => ({ status: Accept, key: { ...key, aesKey: randomBytes(24) } }), /key\.aesKey must be/],
      ['an AES key that is no Buffer', () => ({ status: Accept, key: { ...key, aesKey: new Uint8Array(32) } }), /key\.aesKey must be/],
      ['an HMAC key of 15 bytes', () => ({ status: Accept, key: { ...key, hmacKey: randomBytes(15) } }), /key\.hmacKey must be/],
      ['an HMAC key of 65 bytes', () => ({ status: Accept, key: { ...key, hmacKey: randomBytes(65) } }), /key\.hmacKey must be/],
      ['a getter that throws', () => ({ get status () { throw new Error('got') } }), /got/]
    ]
    for (const [name, answer, message] of answers) {
      script.resume = answer as () => TicketKeyDecision
      t.strictSame([seen(await connect({ port, protocol, session })), asked()], [full, ['resume', ...issues]], `${name}, to resume`)
      delete script.resume
      script.issue = answer as () => TicketKeyDecision
      t.strictSame([seen(await connect({ port, protocol })), asked()], [{ ...full, tickets: 0 }, issues], `${name}, to issue`)
      delete script.issue
      const told = errors.splice(0)
      t.equal(told.length, 1 + many)
      for (const error of told) {
        t.match(error, { code: 'FST_TICKET_KEYS_CALLBACK' })
        t.match(error.message, message)
        t.ok('cause' in error)
      }
    }
    t.ok((await connect({ port, protocol, session })).reused, 'the server still serves')
  })

  t.test(`${protocol}: an error that the callback leaves in OpenSSL's queue does not end the handshake`, async (t) => {
    const key = makeKey()
    const { port, script } = await scripted(t, key)
    const answer = (): TicketKeyDecision => {
      t.equal(Certificate.verifySpkac(Buffer.from('rubbish')), false)
      return { status: Accept, key }
    }
    Object.assign(script, { issue: answer, resume: answer })
    const { session } = await connect({ port, protocol })
    t.equal((await connect({ port, protocol, session })).reused, true)
  })
}

t.test('without onError, a Node.js warning reports the error after the handshake step', async (t) => {
  const { port, server } = await plainHttps()
  const warnings: Error[] = []
  const listener = (warning: Error): void => { warnings.push(warning) }
  process.on('warning', listener)
  t.teardown(() => process.off('warning', listener))
  setTicketKeyCallback(server, () => { throw new Error('out of keys') })
  t.equal((await connect({ port, protocol: 'TLSv1.2' })).status, 200)
  await until(() => warnings.some(({ message }) => /ticket key callback failed: out of keys/.test(message)))
  t.pass('the warning was emitted')
})
