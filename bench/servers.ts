import { KEY_TYPES, type CertificateFiles, type Certificates, type KeyType } from './certificates.js'
import { compare, type Contender, type Rounds } from './compare.js'
import { pin } from './cpu.js'
import type { Mode } from './load-client.js'
import type { Listening } from './node-server.js'
import { message, start, stopAll } from './processes.js'
import { PROGRAMS, startWebServer, type Running } from './programs.js'
import type { Comparison } from './results.js'

const PROTOCOLS = ['TLSv1.3', 'TLSv1.2'] as const
const MODES: Mode[] = ['full', 'reused', 'each once']

/** Servers of Node.js by name, with the kind for node-server.ts. The first is the baseline. */
const NODE_SERVERS: Array<[name: string, kind: string]> = [
  ['plain Node.js', 'plain'],
  ['Node.js, ticket callback in JavaScript', 'callback'],
  ['this package', 'managed'],
  ['this package in Fastify', 'fastify']
]

/** Starts a server of Node.js in its own process. */
export async function startNodeServer (kind: string, { key, cert, ca }: CertificateFiles, pinned = true): Promise<Running & Listening> {
  const child = start('node-server.ts', [kind, key, cert, ca])
  const listening = await message<Listening>(child)
  const pid = child.pid ?? 0
  if (pinned) pin(pid, 'server')
  return { pid, ...listening }
}

export interface ServerPartOptions extends Rounds {
  /** 1: only certificates of the first type */
  keyTypes: number
}

/** Compares servers by the CPU time of a connection: TLS versions × certificates × full, reused, each ticket once. */
export async function measureServers (certificates: Certificates, options: ServerPartOptions): Promise<Comparison[]> {
  const client = start('load-client.ts')
  pin(client.pid ?? 0, 'client')
  const comparisons: Array<{ name: string, contenders: Contender[] }> = []
  for (const keyType of KEY_TYPES.slice(0, options.keyTypes)) {
    const servers = await startAll(certificates, keyType)
    for (const protocol of PROTOCOLS) {
      for (const mode of MODES) {
        const name = `${protocol.replace('v', ' ')}, ${keyType}, ${mode}`
        comparisons.push({ name, contenders: servers.map(({ name, server }) => ({ name, server, job: { protocol, mode } })) })
      }
    }
  }
  const results = await compare(comparisons, client, options)
  await stopAll()
  return results
}

async function startAll ({ directory, files }: Certificates, keyType: KeyType): Promise<Array<{ name: string, server: Running }>> {
  const nodeServers = NODE_SERVERS.map(async ([name, kind]) => ({ name, server: await startNodeServer(kind, files[keyType]) }))
  const programs = PROGRAMS.map(async (name) => {
    const server = await startWebServer(name, directory, files[keyType])
    if (server === undefined) process.stderr.write(`${name} is not installed\n`)
    else pin(server.pid, 'server')
    return server === undefined ? [] : [{ name, server }]
  })
  return [...await Promise.all(nodeServers), ...(await Promise.all(programs)).flat()]
}
