import { execFile } from 'node:child_process'
import { appendFileSync, copyFileSync, cpSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { ROOT, temporary } from '../helpers/package.js'

const run = promisify(execFile)
const CONFIG = '.dependency-cruiser.js'

/** Runs the check of imports over a copy of lib. Resolves to what it said. */
async function check (directory: string): Promise<string> {
  const program = join(ROOT, 'node_modules/dependency-cruiser/bin/dependency-cruise.mjs')
  const { stdout } = await run(process.execPath, [program, 'lib', '--config', CONFIG], { cwd: directory }).catch(
    (error: { stdout: string }) => error
  )
  return stdout
}

t.test('a reversed import, a cycle and a file directly in lib are each refused', async (t) => {
  const cases = [
    ['lib/util/mutex.ts', "export * from '../keys/timetable.js'\n", 'imports-of-util: lib/util/mutex.ts → lib/keys/timetable.ts'],
    ['lib/keys/base64.ts', "export * from '../sources/memory.js'\n", 'imports-of-keys: lib/keys/base64.ts → lib/sources/memory.ts'],
    ['lib/keys/timetable.ts', "export * from './validate.js'\n", ''],
    ['lib/keys/key.ts', "export * from './timetable.js'\n", 'no-cycle: lib/keys/'],
    ['lib/extra.ts', "export * from './util/log.js'\n", 'no-flat-files: lib/extra.ts']
  ] as const
  for (const [file, text, problem] of cases) {
    const directory = temporary(t)
    cpSync(join(ROOT, 'lib'), join(directory, 'lib'), { recursive: true })
    for (const name of [CONFIG, 'tsconfig.json', 'package.json']) copyFileSync(join(ROOT, name), join(directory, name))
    symlinkSync(join(ROOT, 'node_modules'), join(directory, 'node_modules'))
    appendFileSync(join(directory, file), text)
    t.match(await check(directory), problem === '' ? 'no dependency violations found' : problem, file)
  }
})
