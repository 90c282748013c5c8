import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, realpathSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import { ROOT, temporary } from './package.js'

const run = promisify(execFile)

/** Cache for downloads, so that only the first run needs the registry. */
const CACHE = join(ROOT, 'node_modules/.cache/tools')

/**
 * Installs a package and its dependencies from the registry, once. The name includes the version, as in `pnpm@9`.
 *
 * @returns the folder that contains its `node_modules`
 */
export async function fetchTools (...packages: string[]): Promise<string> {
  const folder = join(CACHE, packages.join('+').replaceAll('/', '-'))
  if (existsSync(folder)) return folder
  // Renamed when the installation is complete, so that a killed run leaves no partial folder.
  const making = `${folder}.${process.pid}`
  mkdirSync(making, { recursive: true })
  writeFileSync(join(making, 'package.json'), '{ "private": true }')
  await run('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', ...packages], { cwd: making, maxBuffer: 2 ** 24 })
  if (existsSync(folder)) rmSync(making, { recursive: true })
  else renameSync(making, folder)
  return folder
}

/** The official binary of a Node.js version, such as `24`, from the npm package `node`. */
export async function fetchNode (version: string): Promise<string> {
  // An install script would link the binary into the package `node`. Use the package of this platform, which contains
  // the binary.
  const folder = await fetchTools(`node-${process.platform}-${process.arch}@${version}`)
  return join(folder, 'node_modules', `node-${process.platform}-${process.arch}`, 'bin/node')
}

/**
 * A project, and an environment in which nothing can be compiled: the PATH has only Node.js and a shell, no compiler
 * and no Python.
 */
export interface BareProject {
  directory: string
  env: NodeJS.ProcessEnv
}

/** Makes a project with these dependencies in package.json. @param node the Node.js on the project's PATH */
export function bareProject (t: Test, dependencies: Record<string, string>, node = process.execPath): BareProject {
  const directory = temporary(t)
  const bin = temporary(t)
  symlinkSync(node, join(bin, 'node'))
  symlinkSync(realpathSync('/bin/sh'), join(bin, 'sh'))
  writeFileSync(
    join(directory, 'package.json'),
    JSON.stringify({ name: 'project', version: '1.0.0', private: true, type: 'module', dependencies })
  )
  return { directory, env: { PATH: bin, HOME: bin, CC: 'false', CXX: 'false', npm_config_cache: join(bin, 'cache') } }
}

/** Every folder named `build` in an installed package. A compilation would leave one. */
export function builds (installed: string): string[] {
  return readdirSync(installed, { recursive: true, encoding: 'utf8' }).filter((path) => /(^|\/)build$/.test(path))
}

/** Runs a program with the project's Node.js to its end. Rejects with the program's output if it fails. */
export async function runProgram ({ directory, env }: BareProject, program: string, ...args: string[]): Promise<string> {
  const node = join((env['PATH'] as string).split(delimiter)[0] as string, 'node')
  const { stdout } = await run(node, [program, ...args], { cwd: directory, env, maxBuffer: 2 ** 24 })
  return stdout
}
