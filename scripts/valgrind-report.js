// Usage: node scripts/valgrind-report.js REPORT OBJECT. Counts the errors of a valgrind XML report that have OBJECT in their stack.
import { readFileSync } from 'node:fs'

const [, , file, object] = process.argv
const errors = readFileSync(file, 'utf8').split('<error>').slice(1).map((part) => part.split('</error>')[0])
const ours = errors.filter((error) => error.includes(object))
for (const error of ours) {
  const text = (pattern) => /** @type {string[]} */ ([...error.matchAll(pattern)].map((match) => match[1]))
  console.log([...text(/<kind>(.*?)<\/kind>/g), ...text(/<text>(.*?)<\/text>/g), ...text(/<fn>(.*?)<\/fn>/g).slice(0, 12)].join('\n  '))
}
console.log(`valgrind: ${ours.length} of ${errors.length} errors with ${object} in their stack`)
if (ours.length > 0) process.exitCode = 1
