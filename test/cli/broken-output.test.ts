import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { openSync } from 'node:fs'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { main } from '../../lib/cli/main.js'
import { closeAll, plainHttps } from '../helpers/server.js'
import { READ_TYPESCRIPT } from '../helpers/typescript.js'

t.teardown(closeAll)

const CLI = fileURLToPath(new URL('../../lib/cli/index.ts', import.meta.url))

/** Runs the command line with these files as standard output and standard error. */
async function run (args: string[], stdout: number | 'pipe', stderr: number | 'pipe' = 'pipe'): Promise<{
  status: unknown,
  stderr: string
}> {
  const env = { ...process.env, NODE_OPTIONS: undefined }
  const child = spawn(process.execPath, [...READ_TYPESCRIPT, CLI, ...args], { stdio: ['ignore', stdout, stderr], env })
  // The reader has exited before the command writes anything, as `true` does in `inspect … | true`.
  child.stdout?.destroy()
  let text = ''
  child.stderr?.setEncoding('utf8').on('data', (data: string) => { text += data })
  const [status] = await once(child, 'close') as [number | null]
  return { status, stderr: text }
}

t.test('standard output that takes nothing: one line and a status, and no stack trace', async (t) => {
  const path = join(t.testdir(), 'tickets.json')
  const full = openSync('/dev/full', 'w')
  const { port } = await plainHttps()
  const make = await run(['generate', '--out', path], full)
  t.same(make, { status: 1, stderr: "error: standard output can't be written: ENOSPC\n" })
  for (const args of [
    ['inspect', path], ['inspect', '--json', path], ['generate', '--stdout'], ['convert', path, '--to', 'json', '--stdout'],
    ['rotate', path],
    ['--help'], ['--version'], ['probe', '--help'], ['probe', '--insecure', '-n', '2', '--tls', '1.3', `127.0.0.1:${port}`]
  ]) {
    t.same(await run(args, full), { status: 1, stderr: "error: standard output can't be written: ENOSPC\n" }, args.join(' '))
    t.same(await run(args, 'pipe'), { status: 1, stderr: "error: standard output can't be written: EPIPE\n" }, args.join(' '))
  }
  t.same(await run(['inspect', path], full, full), { status: 1, stderr: '' })
  t.same(await run(['inspect', `${path}.gone`], 'pipe', full), { status: 1, stderr: '' }, 'nor does a message that nobody can read')
})

t.test('output that is written late counts too', async (t) => {
  const late = new Writable({
    write (_chunk, _encoding,
      done) { setTimeout(done, 20, Object.assign(new Error('full'), { code: 'ENOSPC' })) }
  })
  const messages: string[] = []
  const stderr = new Writable({ write (chunk: Buffer, _encoding, done) { messages.push(chunk.toString()); done() } })
  t.equal(await main(['--version'], { stdout: late, stderr }), 1)
  t.same(messages, ["error: standard output can't be written: ENOSPC\n"])
})
