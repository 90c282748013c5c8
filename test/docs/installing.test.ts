import { execFile } from 'node:child_process'
import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, delimiter, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { localCertificate } from '../../examples/certificate.js'
import { blocks } from '../helpers/docs.js'
import { install, pack, ROOT, temporary } from '../helpers/package.js'
import { localRegistry } from '../helpers/registry.js'
import { closeAll } from '../helpers/server.js'

const run = promisify(execFile)

/**
 * Executes a Dockerfile without Docker. Each stage is a directory beside the build context, on this machine's system.
 * Returns the last stage's working directory and its command.
 */
async function build (dockerfile: string, context: string, env: NodeJS.ProcessEnv): Promise<{ directory: string, command: string[] }> {
  let [stage, directory, command] = ['', '', [] as string[]]
  for (const line of dockerfile.trim().split('\n').filter((text) => text !== '')) {
    const [, instruction = '', rest = ''] = /^([A-Z]+) (.+)$/.exec(line) ?? []
    const words = rest.split(' ')
    switch (instruction) {
      case 'FROM':
        stage = join(dirname(context), words[2] ?? 'final')
        break
      case 'WORKDIR':
        directory = join(stage, basename(rest))
        mkdirSync(directory, { recursive: true })
        break
      case 'COPY': {
        const [, from] = /^--from=(.+)$/.exec(words[0] ?? '') ?? []
        const [target = '', ...names] = words.slice(from === undefined ? 0 : 1).reverse()
        // `COPY FOLDER NAME` copies what is in the folder.
        for (const name of names) {
          const source = from === undefined ? join(context, name) : join(dirname(context), from, name)
          cpSync(source, target === './' ? join(directory, name) : join(directory, target), { recursive: true, verbatimSymlinks: true })
        }
        break
      }
      case 'RUN':
        await run('/bin/sh', ['-c', rest], { cwd: directory, env, maxBuffer: 2 ** 24 })
        break
      case 'CMD':
        command = JSON.parse(rest) as string[]
        break
      // What it says of the system is for Docker alone.
      case 'USER': break
      default: throw new Error(`not understood: ${line}`)
    }
  }
  return { directory, command }
}

t.test('the Dockerfiles in docs/installing.md make a server that resumes', async (t) => {
  const [ready = '', fromSource = '', ...more] = blocks('docs/installing.md', 'dockerfile')
  t.equal(more.length, 0)
  const project = await install(t, await pack(t), ['fastify'])
  // As deep as the stages are: the lock file has the way to the tarball in it.
  const root = temporary(t)
  const context = join(root, 'context')
  mkdirSync(context)
  await localCertificate(context)
  for (const name of ['package.json', 'package-lock.json']) {
    const text = readFileSync(join(project.directory, name), 'utf8')
    const tarball = /"file:([^"]+)"/.exec(text)?.[1] ?? ''
    copyFileSync(join(project.directory, tarball), join(root, 'package.tgz'))
    writeFileSync(join(context, name), text.replaceAll(`file:${tarball}`, 'file:../../package.tgz'))
  }
  copyFileSync(join(ROOT, 'scripts/try-package.mjs'), join(context, 'try-package.mjs'))
  writeFileSync(join(context, 'server.js'), "process.argv.push('key.pem', 'cert.pem')\nawait import('./try-package.mjs')\n")

  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('npm_') && name !== 'NODE_OPTIONS')
  const path = `${dirname(process.execPath)}${delimiter}${process.env['PATH']}`
  const env = { ...Object.fromEntries(own), PATH: path, npm_config_registry: await localRegistry(), npm_config_cache: join(root, 'cache') }
  t.teardown(closeAll)
  const { directory, command: [program = '', ...args] } = await build(ready, context, env)
  const { stdout } = await run(program, args, { cwd: directory, env })
  t.match(stdout, /resumed \{ 'TLSv1\.2': 1, 'TLSv1\.3': 1 \}/)
  t.notOk(existsSync(join(directory, 'node_modules/fastify-ticket-keys/build')))

  const built = await build(fromSource, context, env)
  t.ok(existsSync(join(built.directory, 'node_modules/fastify-ticket-keys/native/build/Release/fastify_ticket_keys.node')))
})
