import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { localCertificate } from '../../examples/certificate.js'
import { pack, ROOT } from '../helpers/package.js'
import { bareProject, fetchNode, fetchTools, runProgram } from '../helpers/package-managers.js'
import { localRegistry } from '../helpers/registry.js'
import { closeAll } from '../helpers/server.js'

const { dependencies, peerDependencies, engines } = JSON.parse(
  readFileSync(join(ROOT, 'package.json'), 'utf8')
) as Record<string, Record<string, string>>

/** The lowest version that a range such as `^5.0.0` or `>=20.19.0` admits. */
const lowest = (range: string | undefined): string => (range ?? '').replace(/^\D+/, '')

t.test('the package works with the lowest supported versions of Fastify, prom-client and Node.js', async (t) => {
  const [fastify, promClient, node] = [
    lowest(peerDependencies?.['fastify']),
    lowest(dependencies?.['prom-client']),
    lowest(engines?.['node'])
  ]
  t.strictSame([fastify, node], ['5.0.0', '20.19.0'])
  const { tarball } = await pack(t)
  const project = bareProject(t, { fastify, 'prom-client': promClient, 'fastify-ticket-keys': `file:${tarball}` }, await fetchNode(node))
  const npm = await fetchTools('npm@11')
  const registry = await localRegistry(await fetchTools(`fastify@${fastify}`, `prom-client@${promClient}`))
  t.teardown(closeAll)
  await runProgram(project, join(npm, 'node_modules/npm/bin/npm-cli.js'), 'install', '--no-audit', '--no-fund', '--registry', registry)
  await localCertificate(project.directory)
  copyFileSync(join(ROOT, 'scripts/try-package.mjs'), join(project.directory, 'try-package.mjs'))
  t.match(await runProgram(project, 'try-package.mjs', 'key.pem', 'cert.pem'), `Node.js v${node},`)

  writeFileSync(
    join(project.directory, 'versions.mjs'),
    `
import { readFileSync } from 'node:fs'
import { Registry } from 'prom-client'
import { createTicketKeys } from 'fastify-ticket-keys'
const register = new Registry()
const keys = await createTicketKeys({ environment: false, metrics: { register } })
const version = (name) => JSON.parse(readFileSync(\`node_modules/\${name}/package.json\`, 'utf8')).version
const managed = /^tls_ticket_keys_managed 1$/m.test(await register.metrics())
console.log(JSON.stringify({ fastify: version('fastify'), promClient: version('prom-client'), managed }))
await keys.close()`
  )
  t.strictSame(JSON.parse(await runProgram(project, 'versions.mjs')), { fastify, promClient, managed: true })
})
