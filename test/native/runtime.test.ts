import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { loadAddon, type Runtime } from '../../lib/native/binding.js'
import { runModule } from '../helpers/process.js'

const directory = mkdtempSync(join(tmpdir(), 'runtime-'))
t.teardown(() => { rmSync(directory, { recursive: true }) })

const here: Runtime = { versions: process.versions, features: process.features, platform: process.platform, arch: process.arch }

function withVersions (versions: Record<string, string | undefined>): Runtime {
  return { ...here, versions: { ...process.versions, ...versions } }
}

const unsupported = [
  {
    name: 'Bun',
    runtime: withVersions({ bun: '1.3.0' }),
    message: /^ticket keys: Bun does not have OpenSSL 3; .*Node\.js 20\.19/
  },
  { name: 'Deno', runtime: withVersions({ deno: '2.5.0' }), message: /^ticket keys: Deno does not have OpenSSL 3/ },
  {
    name: 'Electron',
    runtime: withVersions({ electron: '38.0.0' }),
    message: /^ticket keys: Electron does not have OpenSSL 3/
  },
  {
    name: 'a Node.js with BoringSSL',
    runtime: { ...here, features: { openssl_is_boringssl: true } },
    message: /^ticket keys: needs OpenSSL 3, this Node\.js has /
  },
  {
    name: 'OpenSSL 1.1',
    runtime: withVersions({ openssl: '1.1.1w' }),
    message: /^ticket keys: needs OpenSSL 3, this Node\.js has 1\.1\.1w/
  },
  { name: 'OpenSSL 4', runtime: withVersions({ openssl: '4.0.0' }), message: /has 4\.0\.0/ },
  { name: 'a Node.js without OpenSSL', runtime: withVersions({ openssl: undefined }), message: /has none/ }
]

for (const { name, runtime, message } of unsupported) {
  t.test(`${name} gets its own error, and the binary is not loaded`, async (t) => {
    // Loading this would be told by another error.
    const trap = join(directory, 'trap.node')
    writeFileSync(trap, 'not to be loaded')
    t.throws(() => loadAddon(runtime, [trap]), { code: 'FST_TICKET_KEYS_RUNTIME', message })
  })
}

t.test('this Node.js is supported', async (t) => {
  t.type(loadAddon(here).Manager, 'function')
})

t.test('a missing binary is an error that lists the searched files and the build command', async (t) => {
  const paths = [join(directory, 'one.node'), join(directory, 'two.node')]
  t.throws(() => loadAddon(here, paths), {
    code: 'FST_TICKET_KEYS_NOT_BUILT',
    message: new RegExp(`no binary .* at ${paths.join(' or ')}; build it`)
  })
})

t.test('a file that is empty or no addon is an error that names the file, and has the cause', async (t) => {
  for (const content of ['no addon', '']) {
    const path = join(directory, `file-${content.length}.node`)
    writeFileSync(path, content)
    t.throws(() => loadAddon(here, [path]), {
      code: 'FST_TICKET_KEYS_NOT_BUILT',
      message: new RegExp(`^ticket keys: the addon at ${path} does not load: .+; .+build it`),
      cause: Error
    })
  }
})

t.test('importing the package never throws; register and createTicketKeys do', async (t) => {
  const module = runModule(`
    Object.defineProperty(process, 'versions', { value: { ...process.versions, bun: '1.3.0' } })
    const { default: ticketKeys, createTicketKeys, setTicketKeyCallback } = await import('../../lib/index.js')
    const { default: Fastify } = await import('fastify')
    const { createServer } = await import('node:https')
    const codeOf = async (action) => { try { await action(); return 'nothing' } catch (error) { return error.code } }
    const app = Fastify({ https: {} })
    process.send([
      await codeOf(() => createTicketKeys({ environment: false })),
      await codeOf(() => app.register(ticketKeys, { environment: false })),
      await codeOf(() => setTicketKeyCallback(createServer(), () => ({ status: 0 }))),
      Object.hasOwn(app.server, 'setSecureContext')
    ])
  `)
  t.teardown(module.stop)
  const code = 'FST_TICKET_KEYS_RUNTIME'
  t.same(await module.next(), [code, code, code, false])
})
