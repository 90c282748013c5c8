// Sets the address of the repository. `node scripts/repository.js set OWNER/NAME` writes the address into package.json.
// `node scripts/repository.js check` fails if the address is not set. npm provenance needs the real address.
import { readFileSync, writeFileSync } from 'node:fs'

const FILE = new URL('../package.json', import.meta.url)
const UNKNOWN = 'OWNER/fastify-ticket-keys'
const [command, address = ''] = process.argv.slice(2)
const manifest = JSON.parse(readFileSync(FILE, 'utf8'))

if (command === 'set' && /^[\w.-]+\/[\w.-]+$/.test(address)) {
  const url = `https://github.com/${address}`
  Object.assign(manifest, { repository: { type: 'git', url: `git+${url}.git` }, homepage: `${url}#readme`, bugs: { url: `${url}/issues` } })
  writeFileSync(FILE, `${JSON.stringify(manifest, null, 2)}\n`)
} else if (command === 'check') {
  if (manifest.repository.url.includes(UNKNOWN)) {
    console.error('The address of the repository is not set. Set it with: node scripts/repository.js set OWNER/NAME')
    process.exitCode = 1
  }
} else {
  console.error('usage: node scripts/repository.js set OWNER/NAME | check')
  process.exitCode = 2
}
