import { createServer } from 'node:http'
import type { TicketKey } from '../../lib/keys/key.js'
import { listen } from './server.js'

/** The service from which examples/custom-source.ts gets its keys. */
export interface DocumentService {
  url: string
  keys: TicketKey[]
  /** while true, the service sends an invalid response */
  broken: boolean
}

/** Starts the service. `closeAll` stops it. */
export async function serveDocument (first: TicketKey): Promise<DocumentService> {
  const service: DocumentService = { url: '', keys: [first], broken: false }
  const server = createServer((request, response) => {
    const etag = `"${service.keys.length}"`
    if (service.broken) response.end('{"keys": [rubbish')
    else if (request.headers['if-none-match'] === etag) response.writeHead(304).end()
    else response.writeHead(200, { etag }).end(JSON.stringify({ keys: service.keys.map(toDocument) }))
  })
  service.url = `http://127.0.0.1:${await listen(server)}/`
  return service
}

function toDocument (key: TicketKey): object {
  return { ...key, name: key.name.toString('base64'), aesKey: key.aesKey.toString('base64'), hmacKey: key.hmacKey.toString('base64') }
}
