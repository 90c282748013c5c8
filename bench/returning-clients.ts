// Clients that return again and again, in their own process. They use each TLS 1.3 ticket once, as browsers do.
// Says when they are ready, and receive [port, seconds]. They then send an array of connections.
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { SingleUseClient } from '../test/helpers/client.js'
import { CLIENTS, RECONNECT_MS } from './rotations.js'

/** A connection of a client that has connected before: its time in ms since 1970, and whether it resumed. */
export type Connection = [time: number, resumed: boolean]

const job = once(process, 'message')
process.send?.('ready')
const [[port, seconds]] = await job as [[number, number]]
const end = Date.now() + seconds * 1000
const connections: Connection[] = []

await Promise.all(Array.from({ length: CLIENTS }, async (_, index) => {
  // The clients start one after the other, so that their connections are spread evenly.
  await sleep(index * RECONNECT_MS / CLIENTS)
  const client = new SingleUseClient({ port, protocol: 'TLSv1.3', rejectUnauthorized: false })
  let returning = false
  for (let due = Date.now(); due < end; due = Math.max(due + RECONNECT_MS, Date.now())) {
    await sleep(due - Date.now())
    const time = Date.now()
    // A server that is being restarted may cut a connection. The client then has no result, and tries again.
    const exchange = await client.connect().catch(() => undefined)
    if (exchange === undefined) continue
    if (returning) connections.push([time, exchange.reused])
    returning = true
  }
}))
process.send?.(connections, () => { process.exit() })
