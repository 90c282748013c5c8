// Usage: node scripts/check-symbols.js BINARY GLIBC_FOLDER MUSL NODE…
//
// Fails unless the Linux binary runs wherever one of these Node.js executables does, with glibc 2.28 or later and with musl:
// it names no library and no symbol version, exports only what Node.js calls, and all that it needs is exported by every NODE, or by
// both C libraries.
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'

const OLDEST_GLIBC = '2.28'
const EXPORTS = ['napi_register_module_v1', 'node_api_module_get_api_version_v1']

/** @typedef {{ name: string, version: string, address: string, defined: boolean, weak: boolean }} Symbol */

/** @param {string} file @param {string[]} options */
function readelf (file, ...options) {
  return execFileSync('readelf', ['--wide', ...options, file], { encoding: 'utf8', maxBuffer: 2 ** 28, stdio: ['ignore', 'pipe', 'pipe'] })
}

/** @param {string} file @returns {Symbol[]} */
function symbolsOf (file) {
  // 12: 000000000000aa10  51 FUNC  WEAK  DEFAULT  13 name@@VERSION
  const line = /^ +\d+: (\w+) +\S+ +\w+ +(GLOBAL|WEAK|UNIQUE) +(?:DEFAULT|PROTECTED)(?: +\[.*?\])? +(\w+) ([^@\s]+)(?:@+(\S+))?/
  return readelf(file, '--dyn-syms').split('\n').flatMap((text) => {
    const [, address, bind, section, name, version = ''] = line.exec(text) ?? []
    return name === undefined ? [] : [{ name, version, address, defined: section !== 'UND', weak: bind === 'WEAK' }]
  })
}

/** @param {string} file */
function exportsOf (file) {
  return symbolsOf(file).filter(({ defined }) => defined)
}

/** @param {string} version as in GLIBC_2.2.5 */
function isTooNew (version) {
  const [major = 0, minor = 0] = version.replace('GLIBC_', '').split('.').map(Number)
  const [oldestMajor = 0, oldestMinor = 0] = OLDEST_GLIBC.split('.').map(Number)
  return major > oldestMajor || (major === oldestMajor && minor > oldestMinor)
}

const [binary, glibcFolder, musl, ...nodes] = process.argv.slice(2)
if (binary === undefined || glibcFolder === undefined || musl === undefined || nodes.length === 0) {
  throw new Error('Usage: node scripts/check-symbols.js BINARY GLIBC_FOLDER MUSL NODE…')
}
const problems = []

for (const [, library] of readelf(binary, '--dynamic').matchAll(/\(NEEDED\).*\[(.*)\]/g)) problems.push(`needs the library ${library}`)

const symbols = symbolsOf(binary)
for (const { name, version } of symbols) if (version !== '') problems.push(`names a version: ${name}@${version}`)
const exported = symbols.filter(({ defined }) => defined).map(({ name }) => name).sort()
if (exported.join() !== EXPORTS.join()) problems.push(`exports ${exported.join(', ')}; Node.js calls ${EXPORTS.join(', ')}`)

// Node.js itself needs each of these libraries.
const glibcFiles = ['libc.so.6', 'libm.so.6', 'ld-linux-x86-64.so.2',
  'ld-linux-aarch64.so.1'].map((name) => join(glibcFolder, name)).filter((path) => existsSync(path))
const glibc = glibcFiles.flatMap(exportsOf)
const inMusl = new Set(exportsOf(musl).map(({ name }) => name))
const inNodes = nodes.map((path) => ({ path, names: new Set(exportsOf(path).map(({ name }) => name)) }))

const needed = symbols.filter(({ defined, weak }) => !defined && !weak).map(({ name }) => name)
let ofNode = 0
for (const name of needed) {
  const lacking = inNodes.filter(({ names }) => !names.has(name)).map(({ path }) => path)
  if (lacking.length === 0) {
    ofNode++
    continue
  }
  const versions = glibc.filter((symbol) => symbol.name === name)
  if (versions.length === 0 || !inMusl.has(name)) {
    const [glibcHas, muslHas] = [versions.length > 0, inMusl.has(name)].map((has) => has ? 'has' : 'lacks')
    problems.push(`needs ${name}: glibc ${glibcHas} this symbol, musl ${muslHas} it, and these Node.js lack it: ${lacking.join(', ')}`)
  } else if (versions.every(({ version }) => isTooNew(version))) {
    problems.push(`needs ${name}, which glibc ${OLDEST_GLIBC} lacks: ${versions.map(({ version }) => version).join(', ')}`)
  } else if (new Set(versions.map(({ address }) => address)).size > 1) {
    // Without a version, glibc takes its oldest function of the name. pthread_cond_wait, for instance, then has another layout.
    problems.push(`needs ${name}, of which glibc has several: ${versions.map(({ version }) => version).join(', ')}`)
  }
}
// An empty list would pass all of the above.
if (ofNode === 0 || ofNode === needed.length) problems.push(`needs ${needed.length} symbols, ${ofNode} of Node.js: that can not be`)

for (const problem of problems) console.error(`${binary} ${problem}`)
if (problems.length > 0) process.exitCode = 1
else console.log(`${binary}: no library, no version; ${ofNode} symbols of Node.js, ${needed.length - ofNode} of both C libraries`)
