import type { Test } from 'tap'
import type { TicketKeysOptions } from '../../lib/config/options.js'
import type { TicketStats } from '../../lib/manager/stats.js'
import { serverCert } from './certs.js'
import { runModule } from './process.js'

/** A host's report about itself. */
export interface HostReport {
  stats: TicketStats
  /** logged errors and warnings */
  errors: string[]
  warnings: string[]
  /** codes of `reload-error` events */
  reloadErrors: string[]
}

/** A host of a fleet: an HTTPS server under a manager, in a separate process. */
export interface Host {
  port: number
  report: () => Promise<HostReport>
}

const HOST = `
  import { createServer } from 'node:https'
  import { Clock } from '../../lib/util/clock.js'
  import { startTicketKeys } from '../../lib/manager/start.js'
  import { resolveOptions } from '../../lib/config/options.js'
  import { listen } from '../helpers/server.js'

  const { options, offset, key, cert } = JSON.parse(process.env.HOST)
  const clock = new Clock()
  clock.step(offset)
  const log = {
    errors: [],
    warnings: [],
    info () {},
    warn (message) { this.warnings.push(message) },
    error (message) { this.errors.push(message) }
  }
  const keys = await startTicketKeys(resolveOptions({ environment: false, ...options }), log, clock)
  const reloadErrors = []
  keys.on('reload-error', (error) => { reloadErrors.push(error.code) })
  const server = createServer({ key, cert }, (request, response) => { response.end(String(request.socket.isSessionReused())) })
  keys.attach(server)
  process.on('message', () => process.send({ stats: keys.stats(), errors: log.errors, warnings: log.warnings, reloadErrors }))
  process.send(await listen(server))
`

/** Starts a host whose clock is `offset` ms ahead. `args` is its command line, because no two hosts have the same. */
export async function startHost (t: Test, options: TicketKeysOptions, offset: number, args: string[]): Promise<Host> {
  const { key, cert } = await serverCert()
  const host = runModule(HOST, { args, env: { HOST: JSON.stringify({ options, offset, key, cert }) } })
  t.teardown(host.stop)
  const port = await host.next() as number
  return {
    port,
    report: async () => {
      host.send('report')
      return await host.next() as HostReport
    }
  }
}
