// Fails if a binary that the package promises is missing. `node scripts/check-binaries.js` checks the binary of this machine.
// `node scripts/check-binaries.js --all` checks every binary of scripts/platforms.json.
import { readFileSync, statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const promised = /** @type {string[]} */ (JSON.parse(readFileSync(new URL('platforms.json', import.meta.url), 'utf8')))
const wanted = process.argv.includes('--all') ? promised : [`${process.platform}-${process.arch}`]
const paths = wanted.map((name) => `prebuilds/${name}/fastify_ticket_keys.node`)
const missing = paths.filter((path) => {
  const found = statSync(fileURLToPath(new URL(`../${path}`, import.meta.url)), { throwIfNoEntry: false })
  return found === undefined || found.size === 0
})
if (missing.length > 0) {
  console.error(`These binaries are missing: ${missing.join(', ')}.`)
  console.error('Build the binary of this machine with: npm run build. The release workflow builds the others (docs/installing.md).')
  process.exitCode = 1
}
