// The reference implementation of OpenSSL's manual page SSL_CTX_set_tlsext_ticket_key_evp_cb(3), in TypeScript. It finds a key by the key
// name in the ticket, and makes a key when there is none. Keys expire. Near the end of a key, its tickets are renewed under a newer key.
//   npx tsx examples/callback.ts          port 8443
//   PORT=0 npx tsx examples/callback.ts   any free port
import { randomBytes } from 'node:crypto'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import type { TLSSocket } from 'node:tls'
import { setTicketKeyCallback, TicketStatus, type CallbackKey, type TicketKeyCallback } from 'fastify-ticket-keys'
import { localCertificate } from './certificate.js'

/** Durations in ms. */
interface KeyTimes {
  /** how long a key decrypts tickets */
  lifetime: number
  /** how long before its end a key stops issuing; from then on its tickets are renewed */
  renewal: number
}

interface Key extends CallbackKey {
  expires: number
}

/** Returns a ticket key callback with its own keys. `now` returns ms since 1970. */
export function referenceCallback ({ lifetime, renewal }: KeyTimes, now: () => number = Date.now): TicketKeyCallback {
  const keys = new Map<string, Key>()
  let current: Key | undefined

  const findKey = (name: Buffer): Key | undefined => keys.get(name.toString('hex'))

  const createKey = (): Key => {
    for (const [name, { expires }] of keys) {
      if (expires <= now()) keys.delete(name)
    }
    // A 16-byte AES key means AES-128-CBC, a 32-byte AES key AES-256-CBC. The MAC is HMAC-SHA256. The package makes the IV of each ticket.
    const key = { name: randomBytes(16), aesKey: randomBytes(16), hmacKey: randomBytes(32), expires: now() + lifetime }
    keys.set(key.name.toString('hex'), key)
    return key
  }

  return ({ operation, keyName }) => {
    if (operation === 'issue') {
      if (current === undefined || current.expires - renewal <= now()) current = createKey()
      return { status: TicketStatus.Accept, key: current }
    }
    const key = keyName === undefined ? undefined : findKey(keyName)
    if (key === undefined || key.expires <= now()) return { status: TicketStatus.None } // a full handshake
    // A TLS 1.3 client uses a ticket once. To let clients resume without end, always return Renew here.
    const status = key.expires - renewal <= now() ? TicketStatus.Renew : TicketStatus.Accept
    return { status, key }
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const server = createServer(await localCertificate(fileURLToPath(new URL('.certificate', import.meta.url))), (request, response) => {
    response.end(`resumed: ${String((request.socket as TLSSocket).isSessionReused())}\n`)
  })
  const callback = referenceCallback({ lifetime: 2 * 3_600_000, renewal: 3_600_000 })
  const decide: TicketKeyCallback = (asked) => {
    const decision = callback(asked)
    console.log(`${asked.protocol} ${asked.operation}: status ${decision.status}`)
    return decision
  }
  if (!setTicketKeyCallback(server, decide, { onError: console.error })) throw new Error('the callback could not be set')
  server.listen(Number(process.env['PORT'] ?? 8443), '127.0.0.1', () => {
    const { port } = server.address() as AddressInfo
    const command = `openssl s_client -connect 127.0.0.1:${port} -tls1_2 -reconnect -no_ign_eof </dev/null`
    console.log(`Listening at https://127.0.0.1:${port}. Try: ${command} | grep -E '^(New|Reused)'`)
  })
}
