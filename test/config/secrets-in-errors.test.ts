import { randomBytes } from 'node:crypto'
import t from 'tap'
import { createTicketKeys } from '../../lib/index.js'
import type { TicketKeysOptions } from '../../lib/config/options.js'
import { LeakDetector } from '../helpers/leaks.js'
import { nothingLeaks, whole } from '../helpers/leak-checks.js'

t.test('errors about options say what is wrong with keys and secrets, and never contain them', async (t) => {
  const secrets = new LeakDetector()
  const text = Buffer.from(randomBytes(60).toString('base64'))
  const [random, short] = [randomBytes(80), Buffer.from(randomBytes(12).toString('hex'))]
  for (const [name, bytes] of Object.entries({ text, random: random.subarray(16), short })) secrets.add(name, bytes)
  const wrong: TicketKeysOptions[] = [
    { source: { type: 'static', keys: [text] } },
    { source: { type: 'static', keys: [random, random] } },
    { source: { type: 'static', keys: [random.subarray(1)] } },
    {
      source: {
        type: 'static',
        keys: [{ name: random.subarray(16, 32), aesKey: random.subarray(16, 48), hmacKey: random.subarray(16, 48) }]
      }
    },
    { source: { type: 'secret', secret: short } },
    { source: { type: 'secret', secret: short.toString() } },
    { source: { type: random.toString('base64') } as never },
    { [random.toString('base64', 16)]: 1 },
    ...[
      ['TICKET_KEYS', random.toString('base64', 1)],
      ['TICKET_KEYS', `${random.toString('base64')}!`],
      ['TICKET_KEYS', text.toString()],
      ['TICKET_KEYS_SECRET', short.toString()]
    ].map(([name, value]): TicketKeysOptions => ({ environment: { data: { [name as string]: value } } }))
  ]
  for (const [index, options] of wrong.entries()) {
    const error: unknown = await createTicketKeys({ environment: false, ...options }).catch((error: unknown) => error)
    t.match(error, { code: /^FST_TICKET_KEYS/ }, String(error))
    // The name of an unknown option is not a secret, so the error may quote it.
    if (index === 7) continue
    nothingLeaks(t, secrets, new Map([['error', whole(error)], ['message', String(error)], ['JSON', JSON.stringify(error)]]))
  }
})
