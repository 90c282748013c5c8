// Usage: npm run soak -- [duration] [seed] [directory]
//
// Makes connections to servers with managed keys while keys rotate, certificates change, processes restart, and so on.
// Checks throughout that every session that should resume does, and no other; that the counters of the servers equal
// what the clients saw; and that memory and open files stay the same. Writes a report with a chart. Exits with 1 if a
// check fails. The same seed gives the same order of events.
//
// This process only watches: it ends a run that has stopped, so the soak test never hangs.
import { fork } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { READ_TYPESCRIPT } from '../../test/helpers/typescript.js'
import { parseDuration } from '../../lib/util/duration.js'

/** The longest time without news from the run. */
const STALLED_MS = 180_000

/** The time that a run may need beyond its duration. */
const EXTRA_MS = 300_000

const [duration = '10m', seed = String(randomInt(2 ** 31)), directory = 'soak-report'] = process.argv.slice(2)
const milliseconds = parseDuration(duration)
if (milliseconds === undefined || milliseconds < 1000 || !Number.isSafeInteger(Number(seed))) {
  console.error('usage: npm run soak -- [duration, such as 90s or 2h] [seed, a whole number] [directory of the report]')
  process.exit(2)
}
console.log(`soak test for ${duration}, seed ${seed}`)

// A process group of its own, which also has the processes that the run starts.
const run = fork(fileURLToPath(new URL('run.ts', import.meta.url)), [String(milliseconds / 1000), seed, directory], {
  detached: true, execArgv: READ_TYPESCRIPT
})
let doing = 'starting'

function endRun (): void {
  try {
    process.kill(-(run.pid as number), 'SIGKILL')
  } catch {
    // All of its processes have ended.
  }
}

function fail (problem: string): void {
  console.error(`CHECK FAILED: ${problem}; last: ${doing}`)
  endRun()
  process.exit(1)
}

const stalled = setTimeout(() => { fail(`nothing has happened for ${STALLED_MS / 1000} s`) }, STALLED_MS)
setTimeout(() => { fail(`the run did not end within ${EXTRA_MS / 1000} s after its time`) }, milliseconds + EXTRA_MS)
run.on('message', (message) => {
  doing = String(message)
  stalled.refresh()
})
run.on('exit', (code, signal) => {
  if (signal !== null || code !== 0) fail(`the run ended with ${signal ?? `exit code ${code}`}`)
  endRun()
  process.exit(0)
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => { fail(`ended by ${signal}`) })
