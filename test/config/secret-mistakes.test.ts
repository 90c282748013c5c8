import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import t from 'tap'
import { resolveOptions } from '../../lib/config/options.js'
import { secretProblem } from '../../lib/sources/secret-problem.js'

/** Returns the errors for a secret that is set in code, as a string and as a Buffer, and by the variable. */
function problemsOf (secret: string): string[] {
  return [
    () => resolveOptions({ environment: false, source: { type: 'secret', secret } }),
    () => resolveOptions({ environment: false, source: { type: 'secret', secret: Buffer.from(`${secret}\n`) } }),
    () => resolveOptions({ environment: { data: { TICKET_KEYS_SECRET: secret } } })
  ].map((resolve) => {
    try {
      resolve()
      return ''
    } catch (error) {
      return (error as Error).message.replace(/^ticket keys: (source\.secret|TICKET_KEYS_SECRET) /, '')
    }
  })
}

t.test('a text that is no secret is refused with the likely reason', async (t) => {
  const path = /^is the path of a file: what is in it is the secret/
  const template = /^contains \$\{ or \$\( or \{\{, as in a template/
  const repeated = /^must not be a shorter text repeated: generate it at random$/
  const few = /^must have at least 8 different bytes: generate it at random$/
  const wrong: Array<[secret: string, problem: RegExp]> = [
    ['/run/secrets/ticket-secret', path],
    ['/run/secrets/production/eu-west-1/ticket-secret', path],
    ['/run/secrets/production/euwest/ticket/secret', path],
    ['./secrets/production/eu-west-1/ticket-secret', path],
    ['../secrets/production/eu-west-1/ticket-secret', path],
    ['~/secrets/production/eu-west-1/ticket-secret', path],
    ['file:///run/secrets/production/ticket-secret', path],
    [join(import.meta.dirname, 'secret-mistakes.test.ts'), path],
    [`$${'{TICKET_SECRET}'}`, template],
    [`prefix-of-the-secret-$${'{TICKET_SECRET}'}`, template],
    ['$(cat /run/secrets/production/ticket-secret)', template],
    ['{{ .Values.session.tickets.secret }}', template],
    ['changeme'.repeat(4), repeated],
    ['changeme'.repeat(5).slice(0, 37), repeated],
    ['the secret of this server! the secret of this server! ', repeated],
    ['geheimnisträger '.repeat(3), repeated],
    ['0123456'.repeat(4) + '6543210', few],
    [`${'a'.repeat(31)}b`, few],
    ['00112233445566'.slice(0, 14) + '00000000111111112222', few]
  ]
  for (const [secret, problem] of wrong) for (const found of problemsOf(secret)) t.match(found, problem, secret)
  for (const bytes of [Buffer.alloc(48).fill(randomBytes(16)), Buffer.alloc(32).fill('\x01\x02', 3)]) {
    t.match(secretProblem(bytes, []), /generate it at random/, 'bytes that are no text too')
  }
})

t.test('each form of 32 random bytes is a secret, whatever the bytes', async (t) => {
  const refused: string[] = []
  let leadingSlashes = 0
  for (let count = 0; count < 100_000; count++) {
    const bytes = randomBytes(32)
    const base64 = bytes.toString('base64')
    if (base64.startsWith('/')) leadingSlashes++
    const forms = [bytes, ...[
      bytes.toString('hex'), bytes.toString('hex').toUpperCase(), base64, base64.slice(0, -1),
      base64.slice(0, -1).replaceAll('+', '-').replaceAll('/', '_'),
      `${base64}\n`, bytes.toString('base64url')
    ].map((text) => Buffer.from(text))]
    for (const form of forms) if (secretProblem(form, []) !== undefined) refused.push(form.toString())
  }
  t.same(refused, [])
  t.ok(leadingSlashes > 1000, `${leadingSlashes} began with a slash`)
  for (const secret of [`/${'a1B2c3D4'.repeat(4)}xyz0wvu9tsr`, randomBytes(64).toString('base64').replace(/.{60}/, '$&\n')]) {
    t.same(secretProblem(Buffer.from(secret), []), undefined)
  }
})
