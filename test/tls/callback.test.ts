import { randomBytes } from 'node:crypto'
import { createServer as createHttpServer } from 'node:http'
import { createServer as createNetServer } from 'node:net'
import t from 'tap'
import {
  setTicketKeyCallback, type TicketKeyCallback
} from '../../lib/index.js'
import { serverCert } from '../helpers/certs.js'
import { connect, ConnectError, connectH2, flipBit, PROTOCOLS, ticketKeyName } from '../helpers/client.js'
import { manage } from '../helpers/managed.js'
import { closeAll, plainHttp2, plainHttps, plainTls } from '../helpers/server.js'
import { Accept, Break, makeKey, None, Renew, scripted, seen } from '../helpers/scripted-callback.js'

t.teardown(closeAll)

for (const protocol of PROTOCOLS) {
  const many = protocol === 'TLSv1.3' ? 2 : 1
  const full = { reused: false, status: 200, tickets: many }
  const issues = Array<string>(many).fill('issue')

  t.test(`${protocol}: the effect of each return value`, async (t) => {
    const key = makeKey()
    const { port, handshakes, asked, errors, script } = await scripted(t, key)
    const first = await connect({ port, protocol })
    t.strictSame([seen(first), asked()], [full, issues], 'a full handshake issues')
    t.same(ticketKeyName(first.session as Buffer), key.name)
    const session = first.session as Buffer
    const again = async () => await connect({ port, protocol, session })

    script.resume = () => ({ status: Accept, key })
    t.strictSame([seen(await again()), asked()], [{ reused: true, status: 200, tickets: 0 }, ['resume']], 'Accept: resumed, no new ticket')

    script.resume = () => ({ status: Renew, key })
    const next = makeKey()
    script.issue = () => ({ status: Accept, key: next })
    const renewed = await again()
    t.strictSame(
      [seen(renewed), asked()],
      [{ reused: true, status: 200, tickets: 1 }, ['resume', 'issue']],
      'Renew: resumed, one new ticket, asked for again'
    )
    t.same(ticketKeyName(renewed.session as Buffer), next.name)
    script.issue = () => ({ status: Renew, key })
    t.strictSame(
      [seen(await again()), asked()],
      [{ reused: true, status: 200, tickets: 1 }, ['resume', 'issue']],
      'Renew in answer to issue counts as Accept'
    )

    script.resume = () => ({ status: None })
    t.strictSame([seen(await again()), asked()], [full, ['resume', ...issues]], 'None: a full handshake')
    script.resume = () => ({ status: None, key })
    t.strictSame([seen(await again()), asked()], [full, ['resume', ...issues]], 'None with a key: the same')

    script.issue = () => ({ status: None })
    t.strictSame(
      [seen(await connect({ port, protocol })), asked()],
      [{ ...full, tickets: 0 }, issues],
      'None in answer to issue: no ticket, and the handshake continues'
    )
    script.resume = () => ({ status: Renew, key })
    t.strictSame(
      [seen(await again()), asked()],
      [{ reused: true, status: 200, tickets: 0 }, ['resume', 'issue']],
      'Renew, then None: resumed without a new ticket'
    )
    t.equal(handshakes.length, 8)

    script.resume = () => ({ status: Break })
    const broken = await t.rejects(again(), ConnectError, 'Error breaks the handshake') as unknown as ConnectError
    t.match(broken, { alert: 'internal error' })
    t.same(asked(), ['resume'])
    t.equal(handshakes.length, 8, 'the server did not finish the handshake')
    script.issue = () => ({ status: Break, key })
    t.match(await t.rejects(connect({ port, protocol }), ConnectError), { alert: 'internal error' }, 'Error in answer to issue too')
    t.same(asked(), ['issue'])

    script.issue = script.resume = () => ({ status: Accept, key })
    t.strictSame([seen(await again()), asked()], [{ reused: true, status: 200, tickets: 0 }, ['resume']], 'the server still serves')
    t.same(errors, [])
  })

  t.test(`${protocol}: AES-128 or AES-256 by the length of the key, and HMAC keys of 16 to 64 bytes`, async (t) => {
    for (const [aes, hmac] of [[16, 16], [16, 32], [32, 32], [32, 64], [32, 17]] as const) {
      const { port, script, errors } = await scripted(t, makeKey(aes, hmac))
      const { session } = await connect({ port, protocol })
      t.ok((await connect({ port, protocol, session })).reused, `${aes} and ${hmac}`)
      // The same name, but other bytes: the MAC is wrong.
      script.resume = () => ({ status: Accept, key: makeKey(aes, hmac) })
      t.match(seen(await connect({ port, protocol, session })), { reused: false, status: 200 })
      t.same(errors, [])
    }
  })

  t.test(`${protocol}: a ticket of a plain Node.js server with the same 48-byte key resumes`, async (t) => {
    const bytes = randomBytes(48)
    const plain = await plainHttps({ ticketKeys: bytes, sessionIdContext: 'same' })
    const { port } = await scripted(
      t,
      { name: bytes.subarray(0, 16), hmacKey: bytes.subarray(16, 32), aesKey: bytes.subarray(32) },
      () => plainHttps({ sessionIdContext: 'same' })
    )
    const { session } = await connect({ port: plain.port, protocol })
    t.ok((await connect({ port, protocol, session })).reused)
    const own = await connect({ port, protocol })
    t.ok((await connect({ port: plain.port, protocol, session: own.session })).reused, 'in the other direction too')
  })
}

for (const protocol of PROTOCOLS) {
  const issues = Array<string>(protocol === 'TLSv1.3' ? 2 : 1).fill('issue')

  t.test(`${protocol}: the callback receives the key name, the protocol and the server name`, async (t) => {
    const key = makeKey()
    const { port, requests } = await scripted(t, key, async () => {
      const plain = await plainHttps()
      plain.server.addContext('a.test', await serverCert().then(({ key, cert }) => ({ key, cert })))
      return plain
    })
    for (const servername of ['a.test', 'b.test', undefined]) {
      const options = { port, protocol, ...(servername !== undefined && { servername }) }
      const { session } = await connect(options)
      t.strictSame(requests.splice(0), issues.map(() => ({ operation: 'issue', protocol, serverName: servername ?? null })))
      t.ok((await connect({ ...options, session })).reused)
      t.strictSame(requests.splice(0), [{ operation: 'resume', keyName: key.name, protocol, serverName: servername ?? null }])
      const other = await connect({ ...options, session: flipBit(session as Buffer, 0) })
      t.not(other.reused, true, 'the right name, but a wrong MAC')
      const [resume] = requests.splice(0)
      t.equal(resume?.keyName?.equals(Buffer.concat([Buffer.from([(key.name[0] ?? 0) ^ 1]), key.name.subarray(1)])), true)
    }
  })

  t.test(`${protocol}: any kind of server; a new callback replaces the earlier callback, and a manager`, async (t) => {
    for (const [start, via] of [[plainHttps, connect], [plainTls, connect], [plainHttp2, connectH2]] as const) {
      const { port, server, asked } = await scripted(t, makeKey(), start)
      const { session } = await via({ port, protocol })
      t.ok((await via({ port, protocol, session })).reused)
      t.same(asked(), [...issues, 'resume'])
      const other = makeKey()
      setTicketKeyCallback(server, () => ({ status: Accept, key: other }))
      t.same(ticketKeyName((await via({ port, protocol })).session as Buffer), other.name)
      t.same(asked(), [])
    }
    const { keys } = await manage(t)
    const { server, port } = await plainHttps()
    keys.attach(server)
    const key = makeKey()
    t.ok(setTicketKeyCallback(server, () => ({ status: Accept, key })))
    const { session } = await connect({ port, protocol })
    t.same(ticketKeyName(session as Buffer), key.name)
    t.ok((await connect({ port, protocol, session })).reused)
  })
}

t.test('TLSv1.3: after a HelloRetryRequest switches to the context of the host, the callback is still called', async (t) => {
  const { port, asked, errors } = await scripted(t, makeKey(), async () => {
    const { key, cert } = await serverCert()
    const plain = await plainHttps({ ecdhCurve: 'P-384' })
    plain.server.addContext('a.test', { key, cert, ecdhCurve: 'P-384' })
    return plain
  })
  const options = { port, protocol: 'TLSv1.3' as const, servername: 'a.test', ecdhCurve: 'P-256:P-384' }
  const { session } = await connect(options)
  t.same(asked(), ['issue', 'issue'])
  t.ok((await connect({ ...options, session })).reused)
  t.same(asked(), ['resume', 'resume'], 'OpenSSL shows the ticket of each ClientHello')
  t.same(errors, [])
})

t.test('after setSecureContext the callback must be set again', async (t) => {
  const { port, server, asked } = await scripted(t)
  const { key, cert } = await serverCert()
  server.setSecureContext({ key, cert })
  await connect({ port })
  t.same(asked(), [])
})

t.test('the return value tells whether the callback was set', async (t) => {
  const callback: TicketKeyCallback = () => ({ status: None })
  for (const server of [createHttpServer(), createNetServer(), {}, null, undefined, 1]) {
    t.equal(setTicketKeyCallback(server, callback), false)
  }
  const { server } = await plainHttps()
  t.equal(setTicketKeyCallback(server, callback), true)
  for (const wrong of [undefined, null, {}, 'callback']) {
    t.throws(() => setTicketKeyCallback(server, wrong as never), {
      code: 'FST_TICKET_KEYS_OPTIONS',
      message: /callback must be a function/
    })
    t.throws(() => setTicketKeyCallback(server, callback, { onError: wrong ?? 1 } as never), {
      code: 'FST_TICKET_KEYS_OPTIONS',
      message: /onError must be a function/
    })
  }
  for (const wrong of [null, 5]) {
    t.throws(() => setTicketKeyCallback(server, callback, wrong as never), {
      code: 'FST_TICKET_KEYS_OPTIONS',
      message: /the options must be an object/
    })
  }
  t.throws(() => setTicketKeyCallback(server, 5 as never, { onErr: 1 } as never), {
    message: /the ticket key callback must be a function; onErr is not an option/
  })
})
