// npm run bench:docs -- bench-results.json   takes a run's results into bench/results.json, docs/benchmarks.md and docs/img
// npm run bench:docs                         makes the page and the charts again from bench/results.json
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { charts } from './charts.js'
import { updatePage } from './page.js'
import { mergeResults, readResults, RESULTS_FILE } from './results.js'

const [file] = process.argv.slice(2)
if (file !== undefined) mergeResults(RESULTS_FILE, readResults(file))
const results = readResults(RESULTS_FILE)
const page = fileURLToPath(new URL('../docs/benchmarks.md', import.meta.url))
writeFileSync(page, updatePage(readFileSync(page, 'utf8'), results))
for (const [name, svg] of charts(results)) writeFileSync(fileURLToPath(new URL(`../docs/img/${name}`, import.meta.url)), svg)
