import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { secretFileProblem } from '../../lib/sources/read-key-files.js'
import { LeakDetector } from '../helpers/leaks.js'
import { ROOT, temporary } from '../helpers/package.js'

const run = promisify(execFile)

const READABLE = ['dist/', 'node_modules/', 'build/', 'binding.gyp', 'package.json']
const PERMISSION = process.allowedNodeEnvironmentFlags.has('--permission') ? '--permission' : '--experimental-permission'

/** Returns what `createTicketKeys` says for each environment in a process that may read the package and no other file. */
async function outcomes (directory: string, environments: NodeJS.ProcessEnv[]): Promise<string[]> {
  const program = join(directory, 'program.mjs')
  writeFileSync(program, `
    import { inspect } from 'node:util'
    import { createTicketKeys } from ${JSON.stringify(join(ROOT, 'dist/index.js'))}
    const outcomes = []
    for (const data of ${JSON.stringify(environments)}) {
      outcomes.push(await createTicketKeys({ environment: { data } }).then((keys) => {
        keys.close()
        return keys.status().source
      }, (error) => inspect(error, { showHidden: true, depth: Infinity })))
    }
    console.log(JSON.stringify(outcomes))
  `)
  const readable = [...READABLE.map((path) => join(ROOT, path)), program].map((path) => `--allow-fs-read=${path}`)
  // Clear the environment: the test runner's variables make Node.js load files that it is not allowed to read.
  const { stdout } = await run('env', ['-i', process.execPath, PERMISSION, '--allow-addons', ...readable, program], { cwd: directory })
  return JSON.parse(stdout) as string[]
}

t.test("under Node.js's permission model, errors do not contain a secret that is in the place of a path", async (t) => {
  const text = randomBytes(48).toString('hex')
  const secrets = new LeakDetector()
  secrets.add('text', Buffer.from(text))
  const withSlash = `${text.slice(0, 40)}/${text.slice(40)}`
  const asFile = [text, withSlash, `/${withSlash}`, `./${withSlash}`].flatMap((value) =>
    [{ TICKET_KEYS_SECRET_FILE: value }, { TICKET_KEYS_SECRET: 'x'.repeat(32), TICKET_KEYS_PREVIOUS_SECRET_FILE: value }])
  const said = await outcomes(temporary(t), [...asFile, { TICKET_KEYS_SECRET: withSlash }])
  t.equal(said.pop(), 'secret', 'a secret with a slash is accepted')
  t.equal(said.length, asFile.length)
  for (const text of said) {
    t.match(text, /_SECRET_FILE can't be checked: start Node\.js with an --allow-fs-read that includes the file/)
    t.match(text, 'FST_TICKET_KEYS_OPTIONS')
    t.strictSame(secrets.find(text), [])
  }
})

t.test('the advice names the option of Node.js, whatever the value looks like', async (t) => {
  const denied = Object.assign(new Error('restricted'), { code: 'ERR_ACCESS_DENIED' })
  for (const path of ['/run/secrets/ticket-secret', 'c2VjcmV0', import.meta.filename]) {
    t.match(secretFileProblem(path, denied), /^can't be checked: start Node\.js with an --allow-fs-read/)
  }
})
