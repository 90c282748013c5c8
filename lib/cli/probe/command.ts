import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { InvalidArgumentError, Option } from 'commander'
import type { Command } from 'commander'
import { parseTimeoutFlag } from '../duration.js'
import type { Output } from '../files/output.js'
import { PROTOCOLS } from './cases.js'
import type { ProbeOptions } from './cases.js'
import { probe } from './probe.js'
import { progressPrinter } from './progress.js'
import { renderReport } from './table.js'
import { parseServerName, parseTarget } from './targets.js'

const NOT_OK = 1
const BOTH = 'both'

interface Flags {
  connections: number
  tls: string
  servername?: string[]
  together?: true
  ca?: Buffer
  insecure?: true
  http: boolean
  alpn?: string[]
  timeout: number
  json?: true
  progress?: true
}

const HELP = `
HOST is a name, whose addresses are all probed, or an IP address; [::1]:443 for
IPv6. PORT is 443 if left out.

The table shows TICKETS for each full handshake; the share of connections that
resumed with each ticket USED ONCE (as browsers do), with the NEWEST ticket
every time, and with the SAME ticket every time; whether resumed handshakes give
new tickets (RENEWED); and the LIFETIME that tickets say.

Exit status: 0 if all returning connections resume (TLS 1.3: each ticket used
once; TLS 1.2: the newest ticket) and all addresses of a service accept each
other's tickets; 1 if not, or if something can't be reached; 2 for wrong
arguments.

Examples:
  $ fastify-ticket-keys probe www.example.com
  $ fastify-ticket-keys probe --together 192.0.2.1 192.0.2.2 \\
      --servername www.example.com
  $ fastify-ticket-keys probe --json --connections 1000 localhost:8443`

/**
 * Adds the command `probe` to the program. Sets `process.exitCode` to 1 if the report is not `ok`. Throws a
 * `CommanderError` for wrong arguments.
 */
export function registerProbe (program: Command, output: Output): void {
  program.command('probe')
    .summary('see how servers issue, resume and renew session tickets')
    .description('Connect to TLS servers again and again, to see how they issue, resume and renew session tickets.')
    .argument('<host[:port]...>', 'servers to probe', collectTarget)
    .option('-n, --connections <n>', 'connections per test; three tests for each address, name and protocol', wholeNumber, 30)
    .option('-s, --servername <names>', 'server names to send, separated by commas; each address is probed under each', serverNames)
    .option('--together', 'all servers given are one service and should accept each other\'s tickets')
    .addOption(new Option('--tls <version>', 'TLS version').choices(['1.2', '1.3', BOTH]).default(BOTH))
    .option('--ca <file>', 'PEM certificates to trust, in place of the usual ones', readCertificates)
    .option('--insecure', 'don\'t verify certificates')
    .option('--alpn <protocols>', 'protocols to offer, separated by commas (default: http/1.1)', list)
    .option('--no-http', 'for servers of other protocols: send no HTTP request, wait for TLS 1.3 tickets instead')
    .addOption(new Option('--timeout <duration>', 'for one connection').argParser(parseTimeoutFlag).default(10_000, '10s'))
    .option('--json', 'print the report as JSON')
    .option('--progress', 'show progress even if standard error is not a terminal')
    .addHelpText('after', HELP)
    .action(async (targets: string[], flags: Flags) => { await run(targets, flags, output) })
}

async function run (targets: string[], flags: Flags, { stdout, stderr }: Output): Promise<void> {
  const options: ProbeOptions = {
    connections: flags.connections,
    protocols: PROTOCOLS.filter((protocol) => flags.tls === BOTH || protocol === `TLSv${flags.tls}`),
    together: flags.together ?? false,
    insecure: flags.insecure ?? false,
    http: flags.http,
    timeout: flags.timeout,
    ...(flags.servername === undefined ? {} : { servernames: flags.servername }),
    ...(flags.ca === undefined ? {} : { ca: flags.ca }),
    ...(flags.alpn === undefined ? {} : { alpn: flags.alpn })
  }
  const progress = progressPrinter(stderr)
  const show = stderr.isTTY === true || flags.progress === true ? progress.show : undefined
  const report = await probe(targets, options, show).finally(progress.end)
  stdout.write(flags.json === true ? `${JSON.stringify(report, null, 2)}\n` : renderReport(report))
  if (!report.ok) process.exitCode = NOT_OK
}

function collectTarget (text: string, previous: string[] = []): string[] {
  return [...previous, orInvalid(() => parseTarget(text) && text)]
}

function wholeNumber (text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 2) throw new InvalidArgumentError('It takes a whole number of 2 or more.')
  return value
}

function list (text: string): string[] {
  const items = text.split(',').map((item) => item.trim())
  if (items.includes('')) throw new InvalidArgumentError('It takes names separated by commas.')
  return items
}

function serverNames (text: string): string[] {
  return list(text).map((name) => orInvalid(() => parseServerName(name)))
}

function readCertificates (path: string): Buffer {
  const pem = orInvalid(() => readFileSync(path))
  orInvalid(() => new X509Certificate(pem))
  return pem
}

function orInvalid<T> (read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message)
  }
}
