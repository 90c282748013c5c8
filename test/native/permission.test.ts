import { execFile } from 'node:child_process'
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { localCertificate } from '../../examples/certificate.js'
import { blocks } from '../helpers/docs.js'
import { randomKey, writeKeys } from '../helpers/keys.js'
import { ROOT } from '../helpers/package.js'

const run = promisify(execFile)
const flags = process.allowedNodeEnvironmentFlags
const own = flags.has('--permission') ? '--permission' : '--experimental-permission'

// Outside of the checkout, so that the checkout's own --allow-fs-read does not include it.
const keys = realpathSync(mkdtempSync(join(tmpdir(), 'permission-')))
t.teardown(() => { rmSync(keys, { recursive: true }) })
writeKeys(join(keys, 'tickets'), [randomKey()])

const [line = 'no command for this Node.js'] = blocks('docs/installing.md', 'sh', '## Permission model').join('\n').split('\n')
  .filter((text) => text.includes(` ${own} `) && text.includes('--allow-net') === flags.has('--allow-net'))
/** The flags that docs/installing.md gives for this version of Node.js. The checkout is the application's folder. */
const documented = line.replace('=/app/', `=${ROOT}`).replace('=/run/keys/', `=${keys}/`).split(' ').slice(1, -1)

/** Runs a script with these flags, and returns its output. Without variables: the test runner's make Node.js load files. */
async function output (args: string[], script: string, ...rest: string[]): Promise<string> {
  const { stdout } = await run('env', ['-i', process.execPath, ...args, script, ...rest])
  return stdout
}

t.test('with the flags in docs/installing.md, a server starts and resumes', async (t) => {
  const directory = t.testdir()
  await localCertificate(directory)
  const certificate = ['key.pem', 'cert.pem'].map((name) => join(directory, name))
  t.match(await output(documented, join(ROOT, 'scripts/try-package.mjs'), ...certificate), /resumed \{ 'TLSv1\.2': 1, 'TLSv1\.3': 1 \}/)
})

t.test('keys are read with the documented flags; without one of them, the error has a code and names the flag', async (t) => {
  const script = join(t.testdir(), 'keys.mjs')
  writeFileSync(script, `
    import { createTicketKeys } from 'fastify-ticket-keys'
    for (const source of ${JSON.stringify([{ type: 'file', path: join(keys, 'tickets') }, { type: 'directory', path: keys }])}) {
      const made = createTicketKeys({ source: { ...source, format: 'nginx80' }, environment: false })
      const outcome = await made.then((keys) => keys.close(), (error) => error)
      console.log(source.type, outcome?.code ?? 'ready', outcome?.message ?? '')
    }`)
  t.match(await output(documented, script), /^file ready \ndirectory ready \n$/)
  const without = async (flag: string): Promise<string> => await output(documented.filter((text) => !text.startsWith(flag)), script)
  t.match(await without('--allow-addons'), /^file FST_TICKET_KEYS_NOT_BUILT .*--allow-addons.*\ndirectory FST_TICKET_KEYS_NOT_BUILT/)
  const unreadable = 'FST_TICKET_KEYS_SOURCE .*--allow-fs-read'
  t.match(await without(`--allow-fs-read=${keys}`), new RegExp(`^file ${unreadable}.*\\ndirectory ${unreadable}`))
})
