import type { Buffer } from 'node:buffer'
import type { Writable } from 'node:stream'
import { OptionsError } from '../../util/errors.js'
import { writeNewFile } from './atomic-write.js'

/** Where a command writes its keys. */
export interface Target {
  /** a new file */
  out?: string
  stdout?: boolean
}

/** The output streams of a command. */
export interface Output {
  stdout: Writable & { isTTY?: boolean }
  stderr: Writable & { isTTY?: boolean, columns?: number }
}

/**
 * Throws before any key is made: for no target, for two targets, and for a terminal, whose scrollback keeps the keys.
 */
export function checkTarget ({ out, stdout = false }: Target, output: Output): void {
  if ((out !== undefined) === stdout) throw new OptionsError('say where the keys go: either --out FILE or --stdout')
  if (stdout && output.stdout.isTTY === true) {
    throw new OptionsError('keys are not shown on a terminal; redirect standard output, or use --out FILE')
  }
}

/** Writes keys to a new file with mode 0600, or to standard output, and erases them. */
export async function writeKeys (data: Buffer, { out }: Target, { stdout }: Output): Promise<void> {
  try {
    if (out !== undefined) return await writeNewFile(out, data)
    await new Promise<void>((resolve, reject) => {
      stdout.write(data, (error) => error == null ? resolve() : reject(error))
    })
  } finally {
    data.fill(0)
  }
}

/**
 * Catches the errors of a stream, such as EPIPE and ENOSPC. Uncaught, they would end the process with a stack trace.
 *
 * @returns a function that waits until everything is written, and resolves with the first error
 */
export function watchErrors (stream: Writable): () => Promise<NodeJS.ErrnoException | undefined> {
  const failed = new Promise<Error>((resolve) => { stream.on('error', resolve) })
  return async () => {
    const written = new Promise<Error | undefined>((resolve) => { stream.write('', (error) => { resolve(error ?? undefined) }) })
    return await Promise.race([failed, written])
  }
}
