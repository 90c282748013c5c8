import { randomBytes } from 'node:crypto'
import type { Server } from 'node:https'

/** Undocumented members of a server: `onticketkeycallback` returns [status, HMAC key, AES key, key name, IV]. */
interface WithTicketCallback {
  _sharedCreds: {
    context: {
      enableTicketKeyCallback: () => void
      onticketkeycallback: (name: Buffer, iv: Buffer, encrypt: boolean) => [number, Buffer, Buffer, Buffer, Buffer] | [number]
    }
  }
}

/**
 * Makes a server of plain Node.js call JavaScript for each ticket, which is the only way of plain Node.js to hold
 * several keys. The callback accepts its own key without renewal, as Node.js's default does.
 */
export function useNodeCallback (server: Server): Server {
  const { context } = (server as unknown as WithTicketCallback)._sharedCreds
  const [name, hmacKey, aesKey] = [randomBytes(16), randomBytes(16), randomBytes(16)]
  context.enableTicketKeyCallback()
  context.onticketkeycallback = (presented, iv, encrypt) => {
    if (encrypt) return [1, hmacKey, aesKey, name, randomBytes(16)]
    return presented.equals(name) ? [1, hmacKey, aesKey, name, iv] : [0]
  }
  return server
}
