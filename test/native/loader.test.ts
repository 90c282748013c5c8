import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { isMusl } from '../../lib/native/libc.js'
import { addonPaths, loadAddon } from '../../lib/native/binding.js'
import { ROOT } from '../helpers/package.js'

t.comment(`Node.js ${process.version}`) // read by scripts/node-matrix.sh

const directory = mkdtempSync(join(tmpdir(), 'loader-'))
t.teardown(() => { rmSync(directory, { recursive: true }) })

const runtime = {
  versions: process.versions, features: process.features, platform: process.platform, arch: process.arch, musl: isMusl()
}

/** The beginning of an executable that names its dynamic linker. */
function executable (linker: string): string {
  const path = join(directory, 'node')
  writeFileSync(path, `\x7fELF${'\0'.repeat(700)}${linker}\0${'\0'.repeat(10_000)}`)
  return path
}

t.test('the dynamic linker of the Node.js executable identifies the C library', async (t) => {
  t.equal(isMusl(executable('/lib/ld-musl-x86_64.so.1'), 'linux'), true)
  t.equal(isMusl(executable('/lib/ld-musl-aarch64.so.1'), 'linux'), true)
  t.equal(isMusl(executable('/lib64/ld-linux-x86-64.so.2'), 'linux'), false)
  t.equal(isMusl(executable('/nix/store/abc-glibc-2.40/lib/ld-linux-aarch64.so.1'), 'linux'), false)
})

t.test('only Linux has musl', async (t) => {
  t.equal(isMusl(executable('/lib/ld-musl-x86_64.so.1'), 'darwin'), false)
})

t.test('if the executable names no linker, or cannot be read, the process report decides', async (t) => {
  t.equal(isMusl(executable('/lib/something-else')), runtime.musl)
  t.equal(isMusl(join(directory, 'missing')), runtime.musl)
})

t.test('reading the report changes none of its settings, and does no DNS lookup', async (t) => {
  const report = process.report as typeof process.report & { excludeNetwork: boolean }
  const original = report.getReport
  t.teardown(() => { report.getReport = original })
  let during: boolean | undefined
  report.getReport = () => {
    during = report.excludeNetwork
    return { header: {} }
  }
  t.equal(isMusl(join(directory, 'missing'), 'linux'), true)
  t.equal(during, true)
  t.equal(report.excludeNetwork, false)
})

t.test('the local build is tried first, then the prebuilt binary for platform, processor and C library', async (t) => {
  t.strictSame(addonPaths({ ...runtime, platform: 'linux', arch: 'arm64', musl: true }), [
    join(ROOT, 'build/Release/fastify_ticket_keys.node'), join(ROOT, 'prebuilds/linux-arm64-musl/fastify_ticket_keys.node')
  ])
  t.equal(
    addonPaths({ ...runtime, platform: 'linux', arch: 'x64', musl: false })[1],
    join(ROOT, 'prebuilds/linux-x64/fastify_ticket_keys.node')
  )
  t.equal(
    addonPaths({ ...runtime, platform: 'darwin', arch: 'arm64', musl: false })[1],
    join(ROOT, 'prebuilds/darwin-arm64/fastify_ticket_keys.node')
  )
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
