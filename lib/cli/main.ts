import { readFileSync } from 'node:fs'
import { Command, CommanderError } from 'commander'
import { OptionsError } from '../util/errors.js'
import { watchErrors, type Output } from './files/output.js'
import { registerFiles } from './files/register.js'
import { registerProbe } from './probe/command.js'

const FAILURE = 1
const USAGE = 2

/**
 * Runs the command line.
 *
 * @param args without the paths of Node.js and of the program
 * @returns the exit status
 */
export async function main (args: readonly string[], output: Output = process): Promise<number> {
  const program = new Command('fastify-ticket-keys')
    .description('TLS session ticket keys: files for servers, and a probe that shows what servers do with them')
    .version(readVersion())
    .configureOutput({ writeOut: (text) => output.stdout.write(text), writeErr: (text) => output.stderr.write(text) })
    .addHelpText('after', '\nExit status: 0 fine, 1 failure, 2 wrong usage. Each command has its own --help, with examples.\n')
    .exitOverride()
  registerFiles(program, output)
  registerProbe(program, output)
  const whenWritten = watchErrors(output.stdout)
  // If standard error is closed, the exit status still shows how the command ended.
  watchErrors(output.stderr)

  const error = await program.parseAsync(args, { from: 'user' }).then(() => undefined, (reason: Error) => reason)
  const writeError = await whenWritten()
  if (writeError !== undefined) {
    output.stderr.write(`error: standard output can't be written: ${writeError.code}\n`)
    return FAILURE
  }
  if (error === undefined) return 0
  // Commander has printed the error. It reports --help and --version as errors with status 0.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE
  output.stderr.write(`error: ${inOneLine(error)}\n`)
  return error instanceof OptionsError ? USAGE : FAILURE
}

function inOneLine ({ message }: Error): string {
  return message.replace(/^ticket keys: /, '').replaceAll('\n', ' ')
}

function readVersion (): string {
  return (JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }).version
}
