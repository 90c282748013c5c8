import { InvalidArgumentError, Option, type Command } from 'commander'
import { KEY_FORMATS } from '../../keys/formats/index.js'
import { parseDurationFlag } from '../duration.js'
import { convert, type ConvertOptions } from './convert.js'
import { generate, type GenerateOptions } from './generate.js'
import { formatInspection, inspect, type InspectOptions } from './inspect.js'
import type { Output, Target } from './output.js'
import { rotate, type RotateOptions } from './rotate.js'

/** The commands that make, rotate, show and convert key files. */
export function registerFiles (program: Command, output: Output): void {
  withRotation(withTarget(program.command('generate')
    .description('make random keys')
    .addOption(formatOption('--format <format>', 'format of the file').default('json'))
    .option('--keys <n>', 'how many keys (json: 4, the current and three to come; haproxy: 3; otherwise 1)', parseCount)))
    .addHelpText('after', examples(
      'generate --out /run/keys/tickets.json',
      'generate --format nginx80 --out /etc/nginx/tickets.key',
      'generate --format haproxy --stdout | ssh lb1 "umask 077; cat > tickets"'
    ))
    .action(async (options: GenerateOptions) => {
      await generate(options, output)
      if (options.out !== undefined) output.stdout.write(`${options.out}: written\n`)
    })

  withRotation(program.command('rotate')
    .argument('<path>', 'file, or directory of files, in name order')
    .description('add the next key ahead of time and drop the expired, for cron or a Kubernetes CronJob')
    .addOption(formatOption('--format <format>', 'format of the keys; json is recognized'))
    .option('--keep <n>',
      'keys to keep in a format without times, the next and the current one counted\n(default: enough for the ticket lifetime)',
      parseCount))
    .addHelpText('after', `
Run it at least once in a rotation interval. More often is safe: nothing changes
before its time. So are two runs at once, and a run that is killed.

json and lighttpd: new keys get their times; in a directory, each gets a file of
its own, and files go when all their keys have expired.
Formats without times rotate in one file, by its age. The second key (haproxy:
the last) is the next one, which all hosts know before it issues.
${examples(
  'rotate /run/keys/tickets.json',
  'rotate /run/keys.d --rotation-interval 12h --ticket-lifetime 24h',
  'rotate /etc/haproxy/tickets --format haproxy'
)}`)
    .action(async (path: string, options: RotateOptions) => {
      const { added, removed } = await rotate(path, options)
      output.stdout.write(`${path}: ${added + removed === 0 ? 'no key added or removed' : `${added} added, ${removed} removed`}\n`)
    })

  program.command('inspect')
    .argument('<path>', 'file, or directory of files')
    .description('show names, times and states of keys, and nothing secret')
    .addOption(formatOption('--format <format>', 'format of the keys; json is recognized'))
    .option('--json', 'print JSON')
    .addHelpText('after', examples('inspect /run/keys/tickets.json', 'inspect --format nginx80 --json /etc/nginx/tickets.key'))
    .action(async (path: string, { json = false, ...options }: InspectOptions & { json?: boolean }) => {
      const inspection = await inspect(path, options)
      output.stdout.write(json ? JSON.stringify(inspection, undefined, 2) + '\n' : formatInspection(inspection))
    })

  withTarget(program.command('convert')
    .argument('<path>', 'file, or directory of files')
    .description('write keys in another format; says on standard error what gets lost')
    .addOption(formatOption('--from <format>', 'format of the keys; json is recognized'))
    .addOption(formatOption('--to <format>', 'format to write').makeOptionMandatory()))
    .addHelpText('after', examples(
      'convert tickets.json --to haproxy --out tickets.haproxy',
      'convert tickets.key --from nginx80 --to json --out tickets.json'
    ))
    .action(async (path: string, options: ConvertOptions) => {
      for (const loss of await convert(path, options, output)) output.stderr.write(`note: ${loss}\n`)
    })
}

function withTarget (command: Command): Command {
  const target: Readonly<Record<keyof Target, string>> = {
    out: 'write a new file with mode 0600; an existing one is not overwritten',
    stdout: 'write to standard output, if it is not a terminal'
  }
  return command.option('--out <file>', target.out).option('--stdout', target.stdout)
}

function withRotation (command: Command): Command {
  return command
    .addOption(new Option('--rotation-interval <duration>', 'how long a key issues').argParser(parseDurationFlag).default(3_600_000, '1h'))
    .addOption(new Option('--ticket-lifetime <duration>', 'how long its tickets are accepted after that')
      .argParser(parseDurationFlag).default(7_200_000, '2h'))
}

function formatOption (flags: string, description: string): Option {
  return new Option(flags, description).choices(KEY_FORMATS)
}

function examples (...lines: string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ fastify-ticket-keys ${line}`).join('\n')}\n`
}

function parseCount (value: string): number {
  if (!/^[1-9]\d{0,5}$/.test(value)) throw new InvalidArgumentError('Must be a whole number above 0.')
  return Number(value)
}
