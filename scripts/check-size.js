// Fails if the published package would have 1.5 MB or more, unpacked. Binaries that are not built yet count with the size of the largest.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

const LIMIT = 1_500_000

const promised = /** @type {string[]} */ (JSON.parse(readFileSync(new URL('platforms.json', import.meta.url), 'utf8')))
/** @typedef {{ unpackedSize: number, files: Array<{ path: string, size: number }> }} Report */
const report = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { encoding: 'utf8' })
const [{ unpackedSize, files }] = /** @type {[Report]} */ (JSON.parse(report))
const binaries = files.filter(({ path }) => path.endsWith('.node'))
if (binaries.length === 0) throw new Error('the package has no binary: run npm run build')
const missing = promised.length - binaries.length
const size = unpackedSize + missing * Math.max(...binaries.map((file) => file.size))
const found = binaries.map((file) => `${file.path}: ${file.size}`).join(', ')
console.log(`unpacked: ${unpackedSize} bytes (${found}); with ${missing} more binaries at most ${size} of ${LIMIT}`)
if (size >= LIMIT) process.exitCode = 1
