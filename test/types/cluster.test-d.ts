// What @ts-expect-error is for: see plugin.test-d.ts.
import { shareTicketKeys } from 'fastify-ticket-keys/cluster'
import { exactly } from './expect.js'

const shared = shareTicketKeys({ rotationInterval: '15m', ticketLifetime: '1h' })
exactly<number>()(shared.status().workers)
exactly<Promise<{ at: number }>>()(shared.rotate())
exactly<Promise<void>>()(shared.close())
// @ts-expect-error: a duration is a number or a string
shareTicketKeys({ rotationInterval: true })
// @ts-expect-error: no other file of the package can be imported
await import('fastify-ticket-keys/dist/keeper.js')
