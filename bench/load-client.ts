// The load client. Runs in its own process, takes one job at a time, and answers with a tally. It connects once at a
// time: handshake, GET, response, close. It keeps tickets between jobs, so that a job starts in the steady state.
import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'
import { connect as connectTls } from 'node:tls'

/** Which ticket a connection offers: none, always the same, or each ticket once, as browsers do. */
export type Mode = 'full' | 'reused' | 'each once'

export interface Job {
  /** The connections go to these ports of 127.0.0.1 in turn. */
  ports: number[]
  protocol: 'TLSv1.2' | 'TLSv1.3'
  mode: Mode
  connections: number
  /** a client's key and certificate, in PEM */
  key?: string
  cert?: string
}

export interface Tally {
  connections: number
  resumed: number
  /** bytes on the wire, TCP payload only */
  sent: number
  received: number
}

/** Unused tickets by kind of connection, oldest first. */
const tickets = new Map<string, Buffer[]>()

process.on('message', (job: Job) => {
  run(job).then((tally) => { process.send?.(tally) }, (error: unknown) => { throw error })
})

async function run (job: Job): Promise<Tally> {
  const tally = { connections: 0, resumed: 0, sent: 0, received: 0 }
  for (; tally.connections < job.connections; tally.connections++) {
    // One port after the other. Tickets are shared: the servers behind the ports have the same keys.
    await connectOnce(job, job.ports[tally.connections % job.ports.length] ?? 0, tally)
  }
  return tally
}

async function connectOnce (job: Job, port: number, tally: Tally): Promise<void> {
  const { protocol, mode } = job
  const kind = `${job.ports.join()} ${protocol} ${mode}`
  const stored = tickets.get(kind) ?? []
  tickets.set(kind, stored)
  const session = mode === 'full' ? undefined : mode === 'reused' ? stored.at(0) : stored.pop()
  const tcp = connectTcp({ port, host: '127.0.0.1', noDelay: true })
  const socket = connectTls({
    socket: tcp,
    session,
    servername: 'localhost',
    minVersion: protocol,
    maxVersion: protocol,
    rejectUnauthorized: false,
    ...(job.key !== undefined && { key: job.key }),
    ...(job.cert !== undefined && { cert: job.cert })
  })
  const received: Buffer[] = []
  let resumed = false
  let answered = false
  socket.on('session', (ticket: Buffer) => { received.push(ticket) })
  socket.on('secureConnect', () => {
    resumed = socket.isSessionReused()
    socket.write('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
  })
  socket.on('data', () => { answered = true })
  // A server may reset the connection after its response.
  socket.on('error', (error) => { if (!answered) throw error })
  socket.on('end', () => {
    tally.sent += tcp.bytesWritten
    tally.received += tcp.bytesRead
    socket.destroy()
  })
  await once(socket, 'close')
  if (!answered) throw new Error('a server closed a connection without a response')
  if (resumed) tally.resumed++
  if (mode === 'each once') stored.push(...received)
  // If the server no longer accepts the ticket, go on with a new one.
  else if (mode === 'reused' && !resumed && received.length > 0) stored.splice(0, stored.length, ...received.slice(-1))
}
