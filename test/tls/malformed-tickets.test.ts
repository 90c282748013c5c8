import { randomBytes } from 'node:crypto'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { REASONS } from '../../lib/native/types.js'
import type { StaticKeyParts } from '../../lib/sources/static.js'
import { connect, PROTOCOLS, sessionSecret, sessionTicket } from '../helpers/client.js'
import type { Protocol } from '../helpers/client.js'
import { sendHello } from '../helpers/hello.js'
import { serve } from '../helpers/managed.js'
import { closeAll, plainHttps } from '../helpers/server.js'
import { attack, key, NAME, until, type Material } from '../helpers/malformed-tickets.js'

t.teardown(closeAll)

const HOUR = 3_600_000

/** Hellos over TLS 1.2 have one ticket each, those over TLS 1.3 many. */
const HELLOS: Record<Protocol, number> = { 'TLSv1.2': 6000, 'TLSv1.3': 1080 }

const SLICES = 6

const AT_ONCE = 24

/** What the hellos of helpers/hello.ts offer. */
const CIPHERS: Record<Protocol, string> = { 'TLSv1.2': 'ECDHE-ECDSA-AES128-GCM-SHA256', 'TLSv1.3': 'TLS_AES_128_GCM_SHA256' }

const expiredKey = randomBytes(80)

function collectGarbage (): void {
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc') as () => void
  for (let i = 0; i < 3; i++) gc()
}

/** What the process holds, without what V8 has in reserve for new objects. */
function megabytes (): number {
  collectGarbage()
  const { rss, heapTotal, heapUsed } = process.memoryUsage()
  return Math.round((rss - heapTotal + heapUsed) / 2 ** 20)
}

t.test('tens of thousands of malformed tickets break no handshake, and leak no memory', async (t) => {
  const now = Date.now()
  const start = async (...keys: Array<Buffer | StaticKeyParts>): ReturnType<typeof serve> =>
    await serve(t, { source: keys.length === 0 ? { type: 'memory' } : { type: 'static', keys } }, async () => await plainHttps())
  const { keys, port, handshakes } = await start(until(key, Infinity), until(expiredKey, now - 1000))
  const [sameKey, otherKey, beforeItExpired] = await Promise.all([start(key), start(), start(until(expiredKey, now + HOUR))])

  const sessionFrom = async (
    from: { port: number },
    protocol: Protocol,
    servername = NAME,
    ciphers = CIPHERS[protocol]
  ): Promise<Buffer> => {
    const { session } = await connect({ port: from.port, protocol, servername, ciphers })
    return session as Buffer
  }
  const material: Record<Protocol, Material> = {} as never
  for (const [protocol, other] of [['TLSv1.2', 'TLSv1.3'], ['TLSv1.3', 'TLSv1.2']] as const) {
    const good = await sessionFrom(sameKey, protocol)
    const ticket = async (...args: Parameters<typeof sessionFrom>): Promise<Buffer> => sessionTicket(await sessionFrom(...args))
    material[protocol] = {
      good: sessionTicket(good),
      secret: sessionSecret(good),
      otherVersion: await ticket(sameKey, other),
      otherName: await ticket(sameKey, protocol, 'b.test'),
      otherKey: await ticket(otherKey, protocol),
      expired: await ticket(beforeItExpired, protocol),
      otherCipher: await ticket(
        sameKey,
        protocol,
        NAME,
        protocol === 'TLSv1.3' ? 'TLS_AES_256_GCM_SHA384' : 'ECDHE-ECDSA-AES256-GCM-SHA384'
      )
    }
  }
  t.equal(material['TLSv1.3'].secret.length, 32)

  const expected: Record<Protocol, Record<string, number>> = { 'TLSv1.2': {}, 'TLSv1.3': {} }
  const wrong: object[] = []
  let tickets = 0
  const run = async (protocol: Protocol, hellos: number): Promise<void> => {
    let left = hellos
    await Promise.all(Array.from({ length: AT_ONCE }, async () => {
      while (left-- > 0) {
        const { hello, reasons, reply } = attack(protocol, material[protocol])
        const answer = await sendHello(port, { protocol, ...hello })
        if (JSON.stringify(answer) !== JSON.stringify(reply)) wrong.push({ protocol, answer, reply, reasons })
        tickets += hello.identities?.length ?? 1
        for (const reason of reasons) expected[protocol][reason] = (expected[protocol][reason] ?? 0) + 1
      }
    }))
  }
  const begun = performance.now()
  const memory: number[] = []
  for (let slice = 0; slice < SLICES; slice++) {
    for (const protocol of PROTOCOLS) await run(protocol, HELLOS[protocol] / SLICES)
    memory.push(megabytes())
  }
  t.comment(`${tickets} tickets in ${((performance.now() - begun) / 1000).toFixed(1)} s; memory, MB: ${memory.join(' ')}`)
  t.comment(JSON.stringify(expected))

  t.ok(tickets >= 20_000, `${tickets} tickets`)
  t.strictSame(wrong.slice(0, 5), [], 'every ClientHello got the expected answer')
  const { rejected, resumed, renewed, handshakes: finished } = keys.stats()
  for (const protocol of PROTOCOLS) {
    t.strictSame(
      rejected[protocol],
      Object.fromEntries(REASONS.map((reason) => [reason, expected[protocol][reason] ?? 0])),
      `${protocol}: each is counted once`
    )
    t.ok(Object.keys(expected[protocol]).length >= 5, 'for many reasons')
  }
  const none = { 'TLSv1.2': 0, 'TLSv1.3': 0 }
  t.strictSame([resumed, renewed, handshakes], [none, none, []], 'no client finished a handshake')
  t.strictSame(finished['TLSv1.3'], { full: 0, resumed: 0 })
  // Each slice is hundreds of connections and thousands of tickets: what any of them left would add up.
  const growth = memory.at(-1) as number - Math.max(...memory.slice(0, SLICES / 2))
  t.ok(growth < 24, `memory grew by ${growth} MB in the second half`)

  for (const protocol of PROTOCOLS) {
    const session = await sessionFrom(sameKey, protocol)
    const { reused } = await connect({ port, protocol, servername: NAME, session, ciphers: CIPHERS[protocol] })
    t.equal(reused, true, `${protocol}: the server serves, and a good ticket resumes`)
  }
})
