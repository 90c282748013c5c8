import { spawn, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { ROOT } from './docs.js'
import { until } from './process.js'
import { READ_TYPESCRIPT } from './typescript.js'

/** An example that runs in a process of its own until the test ends. */
export interface RunningExample {
  child: ChildProcess
  port: number
  /** Standard output so far. */
  output: () => string
}

/** Runs an example server with a free port, and waits until it prints its address. */
export async function runExample (t: Test, path: string, env: NodeJS.ProcessEnv): Promise<RunningExample> {
  const child = spawn(process.execPath, [...READ_TYPESCRIPT, fileURLToPath(new URL(path, ROOT))], {
    env: { ...process.env, NODE_OPTIONS: undefined, PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'inherit']
  })
  const exit = new Promise((resolve) => { child.once('exit', resolve) })
  t.teardown(async () => {
    child.kill()
    await exit
  })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (data: string) => { output += data })
  const port = (): number => Number(/https:\/\/127\.0\.0\.1:(\d+)/.exec(output)?.[1])
  await until(() => port() > 0)
  return { child, port: port(), output: () => output }
}
