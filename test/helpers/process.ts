import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { on, once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { COVERAGE_VARIABLE, READ_TYPESCRIPT } from './typescript.js'

const TEST_DIRECTORY = fileURLToPath(new URL('..', import.meta.url))

/** Options of `runModule`. */
export interface RunOptions {
  /** Arguments after the script's name. */
  args?: string[]
  /** Arguments for Node.js itself. */
  execArgv?: string[]
  /** Added to this process's environment. `undefined` removes a variable. */
  env?: Record<string, string | undefined>
  /** `false`: record no coverage. Coverage records grow, and would disturb measurements of the process's memory. */
  coverage?: boolean
  /** The Node.js that runs the module; default: the Node.js of the test. */
  execPath?: string
}

/** A module that runs in a separate process. */
export interface RunningModule {
  child: ChildProcess
  /** The next message that the module passed to `process.send`. Rejects with the module's output if it exits first. */
  next: () => Promise<unknown>
  /** Sends the module a message, which it receives in `process.on('message')`. */
  send: (message: string | object) => void
  /** Standard output and error so far. */
  output: () => string
  /** Resolves when the process has ended. */
  exit: Promise<{ code: number | null, signal: NodeJS.Signals | null }>
  /** Ends the process if it is still running. */
  stop: () => Promise<void>
}

/**
 * Runs TypeScript code as an ES module in a new process. The file is one directory below `test`: it imports helpers as
 * `../helpers/….js` and the library as `../../lib/….js`.
 */
export function runModule (code: string, options: RunOptions = {}): RunningModule {
  const directory = mkdtempSync(join(TEST_DIRECTORY, '.run-'))
  const script = join(directory, 'module.ts')
  writeFileSync(script, code)
  const child = spawn(options.execPath ?? process.execPath, [
    ...options.execArgv ?? [], ...READ_TYPESCRIPT, script, ...options.args ?? []
  ], {
    // Remove NODE_OPTIONS: the test runner's loaders are not meant for this process.
    env: { ...process.env, NODE_OPTIONS: undefined, ...options.coverage === false ? { [COVERAGE_VARIABLE]: '0' } : {}, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc']
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => { output += text })
  }
  const exit = once(child, 'close').then((codes) => {
    rmSync(directory, { recursive: true, force: true })
    const [code, signal] = codes as [number | null, NodeJS.Signals | null]
    return { code, signal }
  })
  const messages = on(child, 'message', { close: ['close'] })
  return {
    child,
    exit,
    output: () => output,
    send: (message) => { child.send(message) },
    next: async () => {
      const { done, value } = await messages.next() as IteratorResult<[unknown], undefined>
      if (done === true) throw new Error(`the module exited without a message:\n${output}`)
      return value[0]
    },
    stop: async () => {
      child.kill()
      await exit
    }
  }
}

/** Waits until a condition is true. Throws if this takes longer than `ms` ms. */
export async function until (condition: () => boolean | Promise<boolean>, ms = 60_000): Promise<void> {
  const end = performance.now() + ms
  while (!await condition()) {
    if (performance.now() > end) throw new Error(`not within ${ms} ms: ${condition.toString()}`)
    await sleep(5)
  }
}
