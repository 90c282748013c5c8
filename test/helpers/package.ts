import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, realpathSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import { localRegistry } from './registry.js'
import { closeAll } from './server.js'

/** This checkout. */
export const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** What npm says of the package that it made. */
export interface Packed {
  /** path of the tarball */
  tarball: string
  files: Array<{ path: string, size: number, mode: number }>
  unpackedSize: number
}

/** An otherwise empty project that has the package from its tarball. */
export interface Project {
  directory: string
  /** the installed package in it */
  installed: string
  /** an environment whose PATH has Node.js and nothing else */
  env: NodeJS.ProcessEnv
}

const run = promisify(execFile)

/** A directory that is gone after the test. */
export function temporary (t: Test): string {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), 'package-')))
  t.teardown(() => { rmSync(directory, { recursive: true, force: true }) })
  return directory
}

/** Packs what `npm run build` made. Throws where that is older than what it was made from. */
export async function pack (t: Test): Promise<Packed> {
  const stale = sources('lib').find((path) => !isNewer(`dist/${path.slice('lib/'.length, -'.ts'.length)}.js`, path))
  if (stale !== undefined) throw new Error(`run npm run build: dist is older than ${stale}`)
  const directory = temporary(t)
  const { stdout } = await npm(['pack', '--json', '--ignore-scripts', '--pack-destination', directory], { cwd: ROOT, env: process.env })
  const [packed] = JSON.parse(stdout) as [Packed & { filename: string }]
  return { ...packed, tarball: join(directory, packed.filename) }
}

/** TypeScript files under a directory of this checkout, as paths from there. */
export function sources (directory: string): string[] {
  return readdirSync(join(ROOT, directory), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts'))
    .map((path) => `${directory}/${path}`)
}

function isNewer (made: string, from: string): boolean {
  return existsSync(join(ROOT, made)) && statSync(join(ROOT, made)).mtimeMs >= statSync(join(ROOT, from)).mtimeMs
}

/** Installs the packed package into an empty project as a user without compilers does who lets no script run. */
export async function install (t: Test, { tarball }: Packed, others: string[] = []): Promise<Project> {
  const directory = temporary(t)
  const bin = temporary(t)
  symlinkSync(process.execPath, join(bin, 'node'))
  const env = { PATH: bin, HOME: bin }
  writeFileSync(join(directory, 'package.json'), '{ "private": true, "type": "module" }')
  const registry = await localRegistry()
  t.teardown(closeAll)
  await npm(['install', '--ignore-scripts', '--no-audit', '--no-fund', '--registry', registry, '--cache', join(bin, 'cache'), tarball, ...others], { cwd: directory, env })
  return { directory, installed: join(directory, 'node_modules/fastify-ticket-keys'), env }
}

/** Runs a module of a project, given as its text, to its end; gives what it wrote. */
export async function runIn ({ directory, env }: Project, name: string, text: string): Promise<string> {
  writeFileSync(join(directory, name), text)
  const { stdout } = await run(process.execPath, [name], { cwd: directory, env })
  return stdout.trim()
}

async function npm (args: string[], options: { cwd: string, env: NodeJS.ProcessEnv }): Promise<{ stdout: string }> {
  return await run(process.execPath, [npmProgram(), ...args], options)
}

/** npm's own program, to be run by the Node.js of the test, whatever PATH says then. */
function npmProgram (): string {
  const found = (process.env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, 'npm')).find((path) => existsSync(path))
  if (found === undefined) throw new Error('npm is not on the PATH')
  const program = realpathSync(found)
  return program.endsWith('.js') ? program : join(dirname(program), '../lib/node_modules/npm/bin/npm-cli.js')
}
