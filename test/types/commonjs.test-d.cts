// From a CommonJS module. What @ts-expect-error is for: see plugin.test-d.ts.
import type { TicketKeys } from 'fastify-ticket-keys' with { 'resolution-mode': 'import' }
import Fastify = require('fastify')
import ticketKeys = require('fastify-ticket-keys')
import cluster = require('fastify-ticket-keys/cluster')

const { createTicketKeys, TicketStatus, fastifyTicketKeys, tlsSession } = ticketKeys

const app = Fastify({ https: {} })
app.register(ticketKeys, { metrics: false })
app.register(ticketKeys.default)
app.register(fastifyTicketKeys)
// @ts-expect-error
app.register(ticketKeys, { metrics: 1 })

type Fits<Type> = (value: Type) => void
const fitsManager: Fits<TicketKeys | Promise<TicketKeys>> = () => {}
fitsManager(app.ticketKeys!)
fitsManager(createTicketKeys())
const fitsRenew: Fits<2> = () => {}
fitsRenew(TicketStatus.Renew)
// @ts-expect-error
fitsRenew(TicketStatus.Accept)
tlsSession(null)
cluster.shareTicketKeys().close()
// @ts-expect-error
ticketKeys.startTicketKeys()
