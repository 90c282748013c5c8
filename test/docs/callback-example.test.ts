import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { referenceCallback } from '../../examples/callback.js'
import { setTicketKeyCallback } from '../../lib/index.js'
import { connect, PROTOCOLS, ticketKeyName, type Exchange } from '../helpers/client.js'
import { closeAll, plainHttps } from '../helpers/server.js'

t.teardown(closeAll)

const HOUR = 3_600_000
const EXAMPLE = fileURLToPath(new URL('../../examples/callback.ts', import.meta.url))

for (const protocol of PROTOCOLS) {
  t.test(`${protocol}: the reference implementation makes keys, finds them by name, renews near their end and forgets them`, async (t) => {
    let now = 0
    const { server, port } = await plainHttps()
    t.ok(setTicketKeyCallback(server, referenceCallback({ lifetime: 3 * HOUR, renewal: HOUR }, () => now)))
    const at = async (time: number, session?: Buffer): Promise<Exchange> => {
      now = time
      return await connect({ port, protocol, session })
    }
    const nameOf = ({ session }: Exchange): string => ticketKeyName(session as Buffer).toString('hex')

    const first = await at(0)
    t.equal(first.reused, false)
    const second = await at(1)
    t.equal(nameOf(second), nameOf(first), 'one key for both')
    const session = first.session as Buffer

    const accepted = await at(2 * HOUR - 1, session)
    t.match({ ...accepted, tickets: accepted.tickets.length }, { reused: true, tickets: 0 })
    const renewed = await at(2 * HOUR, session)
    t.match({ ...renewed, tickets: renewed.tickets.length }, { reused: true, tickets: 1 })
    t.not(nameOf(renewed), nameOf(first), 'under a new key')
    t.equal(nameOf(await at(2 * HOUR + 1)), nameOf(renewed), 'the new key issues all further tickets')
    t.equal((await at(3 * HOUR - 1, session)).reused, true)

    const expired = await at(3 * HOUR, session)
    t.match({ ...expired, tickets: expired.tickets.length }, { reused: false, tickets: protocol === 'TLSv1.3' ? 2 : 1 })
    t.equal(nameOf(expired), nameOf(renewed))
    t.equal((await at(3 * HOUR, renewed.session as Buffer)).reused, true)
    const later = await at(100 * HOUR)
    t.notOk([nameOf(first), nameOf(renewed)].includes(nameOf(later)))
    t.equal((await at(100 * HOUR, later.session as Buffer)).reused, true)
  })
}

t.test('the example runs and serves as its first lines say', async (t) => {
  const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), EXAMPLE], {
    env: { ...process.env, NODE_OPTIONS: undefined, PORT: '0' }, stdio: ['ignore', 'pipe', 'inherit']
  })
  const closed = once(child, 'close')
  t.teardown(async () => {
    child.kill()
    await closed
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const next = async (): Promise<string> => (await lines.next() as IteratorResult<string, undefined>).value ?? 'no more output'
  const port = Number(/^Listening at https:\/\/127\.0\.0\.1:(\d+)/.exec(await next())?.[1])
  t.ok(port > 0)
  for (const protocol of PROTOCOLS) {
    const options = { port, protocol, rejectUnauthorized: false }
    const { session, body } = await connect(options)
    t.equal(body, 'resumed: false\n')
    t.equal((await connect({ ...options, session })).body, 'resumed: true\n')
    const asked = protocol === 'TLSv1.3' ? ['issue', 'issue', 'resume'] : ['issue', 'resume']
    for (const operation of asked) t.equal(await next(), `${protocol} ${operation}: status 1`)
  }
})
