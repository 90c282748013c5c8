import { Buffer } from 'node:buffer'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, statSync, utimesSync } from 'node:fs'
import { Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { main } from '../../lib/cli/main.js'
import { parseKeys, type KeyFormat } from '../../lib/keys/formats/index.js'
import type { TicketKey } from '../../lib/keys/key.js'
import { READ_TYPESCRIPT } from './typescript.js'

/** The path of the command-line program. */
export const CLI = fileURLToPath(new URL('../../lib/cli/index.ts', import.meta.url))

/** The result of a run of the command line. */
export interface Outcome { status: number | null, stdout: Buffer, stderr: string }

/** Starts the command line in a process of its own. */
export function start (...args: string[]) {
  const env = { ...process.env, NODE_OPTIONS: undefined }
  const child = spawn(process.execPath, [...READ_TYPESCRIPT, CLI, ...args], { stdio: ['ignore', 'pipe', 'pipe'], env })
  const stdout: Buffer[] = []
  let stderr = ''
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk))
  child.stderr.setEncoding('utf8').on('data', (text: string) => { stderr += text })
  const done = once(child, 'close').then(([status]): Outcome => ({
    status: status as number | null,
    stdout: Buffer.concat(stdout),
    stderr
  }))
  return { child, done }
}

/** Copies the written data, as a pipe does, because the writer erases its buffers. */
export class Collector extends Writable {
  collected = Buffer.alloc(0)
  override _write (chunk: Buffer, _encoding: string, done: () => void): void {
    this.collected = Buffer.concat([this.collected, chunk])
    done()
  }
}

/** Runs the command line in this process. */
export async function cli (...args: string[]): Promise<Outcome> {
  const [stdout, stderr] = [new Collector(), new Collector()]
  const status = await main(args, { stdout, stderr })
  return { status, stdout: stdout.collected, stderr: stderr.collected.toString() }
}

/** Runs the command line and expects it to fail with one line and no stack. */
export async function fails (t: Test, status: number, message: RegExp, ...args: string[]) {
  const outcome = await cli(...args)
  t.equal(outcome.status, status, args.join(' '))
  t.match(outcome.stderr, message)
  t.match(outcome.stderr, /^error: [^\n]+\n$/, 'printed on one line')
  t.equal(outcome.stdout.length, 0)
}

/** The names of the keys, in hex. */
export const names = ({ keys }: { keys: readonly TicketKey[] }) => keys.map(({ name }) => name.toString('hex'))

export const parseFile = (path: string, format: KeyFormat | undefined) => parseKeys(readFileSync(path), format, path)

/** Sets the modification time of a file to `ms` ms ago. */
export const makeOld = (path: string, ms: number) => utimesSync(path, new Date(Date.now() - ms), new Date(Date.now() - ms))

/** The permission bits of a file. */
export const mode = (path: string) => statSync(path).mode & 0o777
