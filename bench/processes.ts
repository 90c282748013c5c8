import { fork, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { connect } from 'node:net'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const START_TIMEOUT_MS = 60_000

const children = new Set<ChildProcess>()
process.on('exit', () => { for (const child of children) child.kill() })

/** Starts a program of this folder. It talks with messages. */
export function start (script: string, args: string[] = []): ChildProcess {
  return track(fork(fileURLToPath(new URL(script, import.meta.url)), args))
}

/** Resolves to the next message of a child process. Rejects if the child exits first. */
export async function message<T> (child: ChildProcess): Promise<T> {
  return await new Promise((resolve, reject) => {
    const onExit = (code: number | null): void => { reject(new Error(`a process of the benchmark ended with exit code ${code}`)) }
    child.once('exit', onExit)
    child.once('message', (value) => {
      child.off('exit', onExit)
      resolve(value as T)
    })
  })
}

/** Starts another program, and waits until it accepts connections at `port`. */
export async function startProgram (path: string, args: string[], port: number, environment = {}): Promise<ChildProcess> {
  const child = track(spawn(path, args, { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, ...environment } }))
  let output = ''
  child.stderr?.on('data', (chunk: Buffer) => { output = (output + chunk.toString()).slice(-2000) })
  const end = Date.now() + START_TIMEOUT_MS
  while (!await accepts(port)) {
    if (child.exitCode !== null || Date.now() > end) throw new Error(`${path} did not start: ${output}`)
    await sleep(20)
  }
  return child
}

export async function stop (child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exit = once(child, 'exit')
  child.kill()
  await exit
}

/** Ends all programs that this process has started. */
export async function stopAll (): Promise<void> {
  await Promise.all([...children].map(stop))
}

/** The path of an installed program; `undefined` if it is not installed. */
export function find (name: string): string | undefined {
  const directories = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin']
  return directories.map((directory) => join(directory, name)).find((path) => existsSync(path))
}

async function accepts (port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  const accepted = await once(socket, 'connect').then(() => true, () => false)
  socket.destroy()
  return accepted
}

function track (child: ChildProcess): ChildProcess {
  children.add(child)
  child.once('exit', () => { children.delete(child) })
  return child
}
