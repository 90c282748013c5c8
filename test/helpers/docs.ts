import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import type { TicketKeysStatus } from '../../lib/manager/ticket-keys.js'
import { serverCert } from './certs.js'
import { SingleUseClient } from './client.js'
import { issuerAt } from './keys.js'
import { runModule } from './process.js'
import { READ_TYPESCRIPT } from './typescript.js'

/** The root of the repository. */
export const ROOT = new URL('../../', import.meta.url)
/** The text of a file in the repository. */
export const readRepoFile = (file: string): string => readFileSync(new URL(file, ROOT), 'utf8')

/** The fenced code blocks of one language in a document, or in one section of a document. */
export function blocks (file: string, language: string, section = ''): string[] {
  const [, from = ''] = section === '' ? ['', readRepoFile(file)] : readRepoFile(file).split(`\n${section}\n`)
  const until = section === '' ? from : from.split(new RegExp(`\n#{1,${section.indexOf(' ')}} `))[0] ?? ''
  return [...until.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, 'gms'))].map(([, code]) => code ?? '')
}

/** The only fenced code block of one language in a section. */
export function onlyBlock (file: string, language: string, section: string): string {
  const [only, ...more] = blocks(file, language, section)
  if (only === undefined || more.length > 0) throw new Error(`${more.length + 1} blocks of ${language} in ${section}`)
  return only
}

/** The code blocks of a document, of every language. A test compares their number with what it has run. */
export function countBlocks (file: string): number {
  return readRepoFile(file).match(/^```\w+/gm)?.length ?? 0
}

/**
 * Makes a directory with `key.pem`, `cert.pem` and the given files. Code in the directory finds the built package by its
 * name, as an application does.
 */
export async function applicationDirectory (t: Test, files: Record<string, string>): Promise<string> {
  const directory = mkdtempSync(fileURLToPath(new URL('test/.run-', ROOT)))
  t.teardown(() => { rmSync(directory, { recursive: true }) })
  const { key, cert } = await serverCert()
  for (const [name, data] of Object.entries({ 'key.pem': key, 'cert.pem': cert, ...files })) writeFileSync(join(directory, name), data)
  return directory
}

/** A running server that was set up as in the docs. */
export interface Running { port: number, status: () => Promise<TicketKeysStatus> }

/** Runs TypeScript code that attaches `keys` to `server`. Paths below /run and /etc are moved to `root`. */
export async function runTypeScript (t: Test, code: string, root: string, env: Record<string, string> = {}): Promise<Running> {
  const { key, cert } = await serverCert()
  const moved = code.replaceAll(/'\/(run|etc)\//g, `'${root}/$1/`)
    .replaceAll("'fastify-ticket-keys'", "'../../lib/index.js'").replaceAll("'./custom-source.js'", "'../../examples/custom-source.js'")
  const running = runModule(`
    import { createServer as docsServer } from 'node:https'
    import { listen as docsListen } from '../helpers/server.js'
    const server = docsServer({ key: process.env.DOCS_KEY, cert: process.env.DOCS_CERT }, (request, response) => { response.end() })
    ${moved}
    process.on('message', () => { process.send(keys.status()) })
    process.send(await docsListen(server))
  `, { env: { ...env, DOCS_KEY: key, DOCS_CERT: cert } })
  t.teardown(running.stop)
  const port = await running.next() as number
  return {
    port,
    status: async () => {
      running.send('status')
      return await running.next() as TicketKeysStatus
    }
  }
}

/** Runs a server that is configured only by variables. */
export async function runVariables (t: Test, env: Record<string, string>): Promise<Running> {
  return await runTypeScript(
    t,
    "import { createTicketKeys } from 'fastify-ticket-keys'\nconst keys = await createTicketKeys()\nkeys.attach(server)",
    '',
    env
  )
}

/**
 * Runs shell code in `directory`. `npx` runs this package's command line. `kubectl` is a substitute that stores a
 * Secret in the file `secret`.
 */
export async function runShell (code: string, directory: string): Promise<string> {
  const bin = join(directory, '.bin')
  mkdirSync(bin, { recursive: true })
  const command = fileURLToPath(new URL('lib/cli/index.ts', ROOT))
  const scripts = {
    npx: `test "$1" = fastify-ticket-keys && shift && exec '${process.execPath}' ${READ_TYPESCRIPT.join(' ')} '${command}' "$@"`,
    kubectl: `case "$*" in
      'get secret ticket-keys -o jsonpath={.data.tickets\\.json}') base64 '${directory}/secret' ;;
      'create secret generic ticket-keys --from-file=tickets.json') cp tickets.json '${directory}/secret' ;;
      'create secret generic ticket-keys --from-file=tickets.json --dry-run=client -o yaml') cat tickets.json ;;
      'apply -f -') cat > '${directory}/secret' ;;
      *) echo "unknown: $*" >&2; exit 1 ;; esac`
  }
  for (const [name, script] of Object.entries(scripts)) writeFileSync(join(bin, name), `#!/bin/bash\n${script}\n`, { mode: 0o755 })
  const moved = code.replaceAll(' /run/', ` ${directory}/run/`)
  const env = { ...process.env, NODE_OPTIONS: '', PATH: `${bin}:${process.env['PATH'] ?? ''}` }
  const { stdout } = await promisify(execFile)('bash', ['-euo', 'pipefail', '-c', moved], { cwd: directory, env })
  return stdout
}

/** Connects twice, and checks that the second connection resumes and that the current key issues the tickets. */
export async function assertResumes (t: Test, { port, status }: Running, source: string): Promise<void> {
  const client = new SingleUseClient({ port })
  await client.connect()
  await client.connect()
  t.match(client, { full: 1, resumed: 1, failed: 0 }, `${source}: resumes`)
  const { current, source: type } = await status()
  t.equal(type, source)
  t.equal(await issuerAt(port), current, `${source}: the current key issued`)
}
