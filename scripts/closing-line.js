// Usage: node scripts/closing-line.js LOG. Prints tap's totals as 'N passed, N failed'. Fails if no test passed or any test failed.
import { readFileSync } from 'node:fs'

const log = readFileSync(process.argv[2], 'utf8')
const asserts = [...log.matchAll(/# \{ total: (\d+)(?:, pass: (\d+))?(?:, fail: (\d+))?/g)].at(-1)
const passed = Number(asserts?.[2] ?? 0)
const failed = Number(asserts?.[3] ?? 0)
console.log(`${passed} passed, ${failed} failed`)
if (passed === 0 || failed > 0) process.exitCode = 1
