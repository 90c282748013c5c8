import type { Certificates } from './certificates.js'
import { compare, type Contender, type Rounds } from './compare.js'
import { pin } from './cpu.js'
import { start, stopAll } from './processes.js'
import type { Comparison } from './results.js'
import { startNodeServer } from './servers.js'

/** A busy Prometheus scrapes four times a minute. */
const SCRAPE_MS = 50

interface Case {
  name: string
  /** the name of each row, and its kind for node-server.ts; the first is the baseline */
  kinds: Array<[name: string, kind: string]>
  clientCertificate?: boolean
  /** a server with threads needs more than one core */
  threads?: boolean
  /** scrape the metrics of the last server */
  scrape?: boolean
}

const CASES: Case[] = [
  { name: 'keys in the ring', kinds: [['1 key', '1 key'], ['256 keys', '256 keys']] },
  { name: 'worker threads on one ring', kinds: [['1 thread', '1 thread'], ['4 threads', '4 threads']], threads: true },
  {
    name: `a scrape every ${SCRAPE_MS} ms`,
    kinds: [['without', 'fastify'], ['with', 'fastify']],
    scrape: true
  },
  {
    name: '10,000 hosts of addContext',
    kinds: [['plain Node.js, no host', 'plain'], ['this package, no host', 'managed'],
      ['plain Node.js, 10,000', 'plain hosts'], ['this package, 10,000', 'hosts']]
  },
  {
    name: 'sessions with client certificates',
    kinds: [['plain Node.js', 'plain client certificates'], ['this package', 'client certificates']],
    clientCertificate: true
  }
]

/** Compares servers of different size by the CPU time of a connection: TLS 1.3, P-256, each ticket once. */
export async function measureScale ({ files, client: pair }: Certificates, how: Rounds): Promise<Comparison[]> {
  const client = start('load-client.ts')
  pin(client.pid ?? 0, 'client')
  const comparisons = await Promise.all(CASES.map(async ({ name, kinds, clientCertificate = false, threads = false, scrape = false }) => {
    const contenders = await Promise.all(kinds.map(async ([name, kind], index): Promise<Contender> => {
      const server = await startNodeServer(kind, files['P-256'], !threads)
      const job = { protocol: 'TLSv1.3' as const, mode: 'each once' as const, ...(clientCertificate && pair) }
      const disturb = (): (() => void) => startScrapes(server.metricsPort ?? 0)
      return { name, server, job, ...(scrape && index === 1 && { disturb }) }
    }))
    return { name, contenders }
  }))
  const results = await compare(comparisons, client, how)
  await stopAll()
  return results
}

/** Scrapes the metrics on a timer. Returns a function that ends this. */
function startScrapes (port: number): () => void {
  const timer = setInterval(() => {
    fetch(`http://127.0.0.1:${port}/metrics`).then(async (response) => { await response.text() }).catch((error: unknown) => { throw error })
  }, SCRAPE_MS)
  return () => { clearInterval(timer) }
}
