import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, realpathSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import { localRegistry } from './registry.js'
import { closeAll } from './server.js'

/** The root of this checkout. */
export const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** npm's description of the packed package. */
export interface Packed {
  /** path of the tarball */
  tarball: string
  files: Array<{ path: string, size: number, mode: number }>
  unpackedSize: number
}

/** An otherwise empty project in which the package is installed from its tarball. */
export interface Project {
  directory: string
  /** the folder of the installed package */
  installed: string
  /** an environment whose PATH has Node.js and nothing else */
  env: NodeJS.ProcessEnv
}

const run = promisify(execFile)

/** Makes a directory that is removed after the test. */
export function temporary (t: Test): string {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), 'package-')))
  t.teardown(() => { rmSync(directory, { recursive: true, force: true }) })
  return directory
}

/** Packs the output of `npm run build`. Throws if the output is older than the sources. */
export async function pack (t: Test): Promise<Packed> {
  const stale = sources('lib').find((path) => !isNewer(`dist/${path.slice('lib/'.length, -'.ts'.length)}.js`, path))
  if (stale !== undefined) throw new Error(`run npm run build: dist is older than ${stale}`)
  const directory = temporary(t)
  const { stdout } = await npm(['pack', '--json', '--ignore-scripts', '--pack-destination', directory], { cwd: ROOT, env: process.env })
  const [packed] = JSON.parse(stdout) as [Packed & { filename: string }]
  return { ...packed, tarball: join(directory, packed.filename) }
}

/** The TypeScript files under a directory, as paths from the root of this checkout. */
export function sources (directory: string): string[] {
  return readdirSync(join(ROOT, directory), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts'))
    .map((path) => `${directory}/${path}`)
}

function isNewer (made: string, from: string): boolean {
  return existsSync(join(ROOT, made)) && statSync(join(ROOT, made)).mtimeMs >= statSync(join(ROOT, from)).mtimeMs
}

/** Installs the packed package into an empty project, without compilers and without install scripts. */
export async function install (t: Test, { tarball }: Packed, others: string[] = []): Promise<Project> {
  const directory = temporary(t)
  const bin = temporary(t)
  symlinkSync(process.execPath, join(bin, 'node'))
  const env = { PATH: bin, HOME: bin }
  writeFileSync(join(directory, 'package.json'), '{ "private": true, "type": "module" }')
  const registry = await localRegistry()
  t.teardown(closeAll)
  const flags = ['--ignore-scripts', '--no-audit', '--no-fund', '--registry', registry, '--cache', join(bin, 'cache')]
  await npm(['install', ...flags, tarball, ...others], { cwd: directory, env })
  return { directory, installed: join(directory, 'node_modules/fastify-ticket-keys'), env }
}

/** Writes a module into a project, runs it to its end, and returns its output. */
export async function runIn ({ directory, env }: Project, name: string, text: string): Promise<string> {
  writeFileSync(join(directory, name), text)
  const { stdout } = await run(process.execPath, [name], { cwd: directory, env })
  return stdout.trim()
}

async function npm (args: string[], options: { cwd: string, env: NodeJS.ProcessEnv }): Promise<{ stdout: string }> {
  return await run(process.execPath, [npmProgram(), ...args], options)
}

/** The path of npm's own program. The test's Node.js runs it, whatever the PATH of the project is. */
function npmProgram (): string {
  const found = (process.env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, 'npm')).find((path) => existsSync(path))
  if (found === undefined) throw new Error('npm is not on the PATH')
  const program = realpathSync(found)
  return program.endsWith('.js') ? program : join(dirname(program), '../lib/node_modules/npm/bin/npm-cli.js')
}
