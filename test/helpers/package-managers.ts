import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, realpathSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import { ROOT, temporary } from './package.js'

const run = promisify(execFile)

/** Downloads are kept here, so that only the first run needs the registry. */
const CACHE = join(ROOT, 'node_modules/.cache/tools')

/**
 * Installs a package and its dependencies from the registry, once. The version is part of the name, as in `pnpm@9`.
 *
 * @returns the folder that has its `node_modules`
 */
export async function fetchTools (...packages: string[]): Promise<string> {
  const folder = join(CACHE, packages.join('+').replaceAll('/', '-'))
  if (existsSync(folder)) return folder
  // Renamed when it is whole, so that a killed run leaves no half of it.
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
  // npm's own link to the binary is made by an install script: the binary itself lies in the package of this platform.
  const folder = await fetchTools(`node-${process.platform}-${process.arch}@${version}`)
  return join(folder, 'node_modules', `node-${process.platform}-${process.arch}`, 'bin/node')
}

/** A project, and an environment in which nothing can be compiled: neither compiler nor Python, and only Node.js and a shell on the PATH. */
export interface BareProject {
  directory: string
  env: NodeJS.ProcessEnv
}

/** Makes a project whose package.json has these dependencies. @param node the Node.js on its PATH */
export function bareProject (t: Test, dependencies: Record<string, string>, node = process.execPath): BareProject {
  const directory = temporary(t)
  const bin = temporary(t)
  symlinkSync(node, join(bin, 'node'))
  symlinkSync(realpathSync('/bin/sh'), join(bin, 'sh'))
  writeFileSync(join(directory, 'package.json'), JSON.stringify({ name: 'project', version: '1.0.0', private: true, type: 'module', dependencies }))
  return { directory, env: { PATH: bin, HOME: bin, CC: 'false', CXX: 'false', npm_config_cache: join(bin, 'cache') } }
}

/** Every folder called `build` in an installed package: what a compilation would leave. */
export function builds (installed: string): string[] {
  return readdirSync(installed, { recursive: true, encoding: 'utf8' }).filter((path) => /(^|\/)build$/.test(path))
}

/** Runs a program of the project's Node.js to its end. Rejects with its output where it fails. */
export async function runProgram ({ directory, env }: BareProject, program: string, ...args: string[]): Promise<string> {
  const node = join((env['PATH'] as string).split(delimiter)[0] as string, 'node')
  const { stdout } = await run(node, [program, ...args], { cwd: directory, env, maxBuffer: 2 ** 24 })
  return stdout
}
