import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { addonPaths, loadAddon } from '../../lib/native/binding.js'
import { ROOT } from '../helpers/package.js'

t.comment(`Node.js ${process.version}`) // read by scripts/node-matrix.sh

const directory = mkdtempSync(join(tmpdir(), 'loader-'))
t.teardown(() => { rmSync(directory, { recursive: true }) })

const runtime = { versions: process.versions, features: process.features, platform: process.platform, arch: process.arch }

t.test('the own build is looked for first, then the prebuilt binary of platform and processor, for every C library', async (t) => {
  t.strictSame(addonPaths({ ...runtime, platform: 'linux', arch: 'arm64' }), [
    join(ROOT, 'build/Release/fastify_ticket_keys.node'), join(ROOT, 'prebuilds/linux-arm64/fastify_ticket_keys.node')
  ])
  t.equal(addonPaths({ ...runtime, platform: 'linux', arch: 'x64' })[1], join(ROOT, 'prebuilds/linux-x64/fastify_ticket_keys.node'))
  t.equal(addonPaths({ ...runtime, platform: 'darwin', arch: 'arm64' })[1], join(ROOT, 'prebuilds/darwin-arm64/fastify_ticket_keys.node'))
})

t.test('scripts/prebuild.sh puts a loadable binary where the loader looks', async (t) => {
  const [, prebuilt] = addonPaths(runtime) as [string, string]
  t.ok(existsSync(prebuilt), 'run npm run build')
  t.type(loadAddon(runtime, [prebuilt]).Manager, 'function')
})

t.test('a binary for another system is an error with the file, the reason and the remedy', async (t) => {
  const path = join(directory, 'fastify_ticket_keys.node')
  writeFileSync(path, 'not a binary')
  t.throws(() => loadAddon(runtime, [path]), {
    code: 'FST_TICKET_KEYS_NOT_BUILT', message: new RegExp(`${path} does not load: .*; .*build it.* by: npm --prefix`), cause: Error
  })
})
