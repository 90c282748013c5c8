// npm run bench                                   everything
// npm run bench -- servers memory                 some parts: servers, rotations, memory, scale
// npm run bench -- --rounds 20 --out results.json
import { writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { makeCertificates } from './certificates.js'
import { charts } from './charts.js'
import { machine } from './cpu.js'
import { toMarkdown } from './markdown.js'
import { measureMemory } from './memory.js'
import { mergeResults, PARTS, type PartName, type Results } from './results.js'
import { measureRotations } from './rotations.js'
import { measureScale } from './scale.js'
import { measureServers } from './servers.js'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '10' },
    'max-rounds': { type: 'string', default: '30' },
    connections: { type: 'string', default: '60' },
    'key-types': { type: 'string', default: '2' },
    seconds: { type: 'string', default: '60' },
    scenario: { type: 'string' },
    handshakes: { type: 'string', default: '30' },
    out: { type: 'string', default: 'bench-results.json' }
  }
})
const unknown = positionals.filter((part) => !(PARTS as readonly string[]).includes(part))
if (unknown.length > 0) throw new Error(`there is no part ${unknown.join()}: the parts are ${PARTS.join(', ')}`)
const parts = positionals.length === 0 ? PARTS : PARTS.filter((part) => positionals.includes(part))

const rounds = Number(values.rounds)
const how = { rounds, maxRounds: Math.max(rounds, Number(values['max-rounds'])), connections: Number(values.connections) }
const certificates = await makeCertificates()
const measure = {
  servers: () => measureServers(certificates, { ...how, keyTypes: Number(values['key-types']) }),
  rotations: () => measureRotations(certificates, { seconds: Number(values.seconds), only: values.scenario }),
  memory: () => measureMemory(certificates.directory, Number(values.handshakes)),
  scale: () => measureScale(certificates, how)
} satisfies Record<PartName, unknown>

const results: Results = {}
for (const part of parts) {
  process.stderr.write(`== ${part}\n`)
  results[part] = { machine: machine(), date: new Date().toISOString().slice(0, 10), comparisons: await measure[part]() }
}
process.stdout.write(toMarkdown(results))
mergeResults(values.out, results)
for (const [name, svg] of charts(results)) {
  const file = join(dirname(values.out), name)
  writeFileSync(file, svg)
  process.stderr.write(`${file}\n`)
}
process.stderr.write(`${values.out}\n`)
process.exit()
