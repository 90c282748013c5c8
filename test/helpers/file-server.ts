import { readdirSync, readFileSync } from 'node:fs'
import type { Test } from 'tap'
import type { TicketKey } from '../../lib/keys/key.js'
import { idOf, issuerAt } from './keys.js'
import type { Managed } from './managed.js'
import { until } from './process.js'
import type { PlainServer } from './server.js'

/** Long enough for a busy machine. Only a failing test waits this long. */
const NOTICE_TIMEOUT_MS = 30_000

/** Waits until a key is current, and checks by a handshake that it issues. */
export async function issues (t: Test, { keys, port }: Managed & PlainServer, key: TicketKey | undefined, name: string): Promise<void> {
  const id = key === undefined ? undefined : idOf(key)
  await until(() => keys.status().current === id, NOTICE_TIMEOUT_MS)
  t.equal(await issuerAt(port), id, name)
}

/** Returns how many file descriptors and inotify watches this process has. */
export function handles (): { open: number, watches: number } {
  const fds = readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8')]
    } catch {
      return [] // the descriptor that readdirSync used
    }
  })
  return { open: fds.length, watches: fds.join('').split('inotify wd').length - 1 }
}
