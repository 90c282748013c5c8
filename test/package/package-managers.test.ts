import { copyFileSync, existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { localCertificate } from '../../examples/certificate.js'
import { pack, ROOT } from '../helpers/package.js'
import { bareProject, builds, fetchNode, fetchTools, runProgram, type BareProject } from '../helpers/package-managers.js'
import { localRegistry } from '../helpers/registry.js'
import { closeAll } from '../helpers/server.js'

t.teardown(closeAll)
const packed = await pack(t)
const registry = await localRegistry()
const dependencies = { 'fastify-ticket-keys': `file:${packed.tarball}`, fastify: '*' }

/** How one package manager installs: first without a lock file, then from the lock file that it wrote. Scripts are on. */
interface PackageManager {
  name: string
  /** the package in the registry, and its program in it */
  tool: string
  program: string
  install: string[]
  installLocked: string[]
  /** Node.js version that it needs, where this one is too old */
  node?: string
  files?: Record<string, string>
}

// npm 12 and later run no install script unless they are told to.
const npm = (version: string, node?: string, scripts: string[] = []): PackageManager => ({
  name: `npm ${version}`,
  tool: `npm@${version}`,
  program: 'node_modules/npm/bin/npm-cli.js',
  install: ['install', '--no-audit', '--no-fund', ...scripts],
  installLocked: ['ci', '--no-audit', '--no-fund', ...scripts],
  ...(node === undefined ? {} : { node })
})
const pnpm = (version: string, node?: string): PackageManager => ({
  name: `pnpm ${version}`,
  tool: `pnpm@${version}`,
  program: version === '9' ? 'node_modules/pnpm/bin/pnpm.cjs' : 'node_modules/pnpm/bin/pnpm.mjs',
  install: ['install', '--no-frozen-lockfile'],
  installLocked: ['install', '--frozen-lockfile'],
  files: {
    '.npmrc': 'side-effects-cache=false\n',
    // pnpm 10 and later run no install script otherwise. A list of names does not cover a package from a tarball.
    'pnpm-workspace.yaml': 'packages: []\ndangerouslyAllowAllBuilds: true\n'
  },
  ...(node === undefined ? {} : { node })
})
const yarn4 = (linker: 'pnp' | 'node-modules'): PackageManager => ({
  name: `Yarn 4 (${linker})`,
  tool: '@yarnpkg/cli-dist@4',
  program: 'node_modules/@yarnpkg/cli-dist/bin/yarn.js',
  install: ['install', '--no-immutable'],
  installLocked: ['install', '--immutable'],
  files: {
    'yarn.lock': '',
    '.yarnrc.yml': `nodeLinker: ${linker}\nenableScripts: true\nenableTelemetry: false\nenableGlobalCache: false\nnpmMinimalAgeGate: 0\n` +
      `npmRegistryServer: "${registry}"\nunsafeHttpWhitelist: ["127.0.0.1"]\n`
  }
})

const managers: PackageManager[] = [
  npm('10'), npm('11'), npm('latest', '24', ['--dangerously-allow-all-scripts']),
  pnpm('9'), pnpm('latest', '24'),
  yarn4('pnp'), yarn4('node-modules'),
  {
    name: 'Yarn 1',
    // It refuses packages whose "engines" leave out this Node.js: some that Fastify brings need Node.js 22.
    node: '24',
    tool: 'yarn@1',
    program: 'node_modules/yarn/bin/yarn.js',
    install: ['install', '--no-progress', '--registry', registry],
    installLocked: ['install', '--no-progress', '--frozen-lockfile', '--registry', registry]
  }
]

/** Serves and resumes with what was installed. */
async function serve (project: BareProject, pnp: boolean): Promise<string> {
  await localCertificate(project.directory)
  copyFileSync(join(ROOT, 'scripts/try-package.mjs'), join(project.directory, 'try-package.mjs'))
  const args = ['try-package.mjs', 'key.pem', 'cert.pem']
  if (!pnp) return await runProgram(project, args[0] as string, ...args.slice(1))
  return await runProgram(project, '--require', './.pnp.cjs', '--loader', './.pnp.loader.mjs', ...args)
}

for (const { name, tool, program, install, installLocked, node, files } of managers) {
  t.test(`${name} installs without a compiler, also from its lock file, and the package serves and resumes`, async (t) => {
    const folder = await fetchTools(tool)
    const project = bareProject(t, dependencies, node === undefined ? process.execPath : await fetchNode(node))
    project.env['npm_config_registry'] = registry
    for (const [file, text] of Object.entries(files ?? {})) writeFileSync(join(project.directory, file), text)
    const pnp = name.includes('pnp)')
    const left = pnp ? ['.pnp.cjs', '.pnp.loader.mjs', '.yarn/unplugged'] : ['node_modules']
    for (const args of [install, installLocked]) {
      for (const path of left) rmSync(join(project.directory, path), { recursive: true, force: true })
      await runProgram(project, join(folder, program), ...args)
      t.ok(existsSync(join(project.directory, left[0] as string)))
    }
    t.strictSame(builds(join(project.directory, pnp ? '.yarn/unplugged' : 'node_modules/fastify-ticket-keys')), [])
    t.match(await serve(project, pnp), /resumed \{ 'TLSv1\.2': 1, 'TLSv1\.3': 1 \}/)
  })
}
