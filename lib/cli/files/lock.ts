import { createHash, randomBytes } from 'node:crypto'
import { readlinkSync } from 'node:fs'
import { open, readdir, stat, unlink } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { SourceError } from '../../util/errors.js'
import { ignoreMissing } from './atomic-write.js'

/** Age in ms from which a lock is stale. A holder needs the lock for some ms. */
const STALE = 60_000

/** ms to wait for the lock. */
const LOCK_TIMEOUT_MS = 30_000

/** What the holder of the lock can ask. */
export interface Lock {
  /** Throws if the lock was taken for stale, as after a long sleep of the machine. Ask right before each change. */
  check (): Promise<void>
}

/**
 * Runs `work` while no other process does so for this directory. Kernel locks, which end with their
 * process, are out of reach for JavaScript, and a lock file of one fixed name can't be taken over from the dead
 * safely: of two who find it stale, the second removes the first one's new lock.
 *
 * So everyone announces themself with a file of a name that is never used again, then looks at the others: who is alone has the lock,
 * who is not takes their file back and tries later. Of two, at least the later one sees the other. The name says which
 * process of which host it is, so that the files of the dead can be removed by anyone at any time.
 *
 * @throws SourceError if others hold the lock for `timeoutMs` ms
 */
export async function withLock<T> (directory: string, work: (lock: Lock) => Promise<T>, timeoutMs = LOCK_TIMEOUT_MS): Promise<T> {
  const end = performance.now() + timeoutMs
  while (performance.now() < end) {
    if (await isFree(directory)) {
      const name = `.lock.${process.pid}.${HOST}.${randomBytes(8).toString('hex')}`
      const path = join(directory, name)
      await (await open(path, 'wx', 0o600)).close()
      try {
        if (await isFree(directory, name)) {
          return await work({
            check: async () => {
              await stat(path).catch(() => { throw new SourceError(`${directory}: lost the lock; nothing more was changed`) })
            }
          })
        }
      } finally {
        await unlink(path).catch(ignoreMissing)
      }
    }
    await sleep(10 + Math.random() * 50)
  }
  throw new SourceError(`${directory}: locked by another run for ${timeoutMs / 1000} s (files .lock.*)`)
}

const NAME = /^\.lock\.(\d+)\.([0-9a-f]{16})\.[0-9a-f]{16}$/

/** Where the process numbers of this process mean something: containers can share a host's name, but not its processes. */
const HOST = hostId('/proc/self/ns/pid')

/** A name for this host, made of what the link to its process namespace says, where there are such links. */
export function hostId (namespaceLink: string): string {
  return createHash('sha256').update(hostname()).update(readLink(namespaceLink)).digest('hex').slice(0, 16)
}

function readLink (path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}

/** Whether no process but `own` claims the lock. Removes the claims of processes that have ended. */
async function isFree (directory: string, own?: string): Promise<boolean> {
  let free = true
  for (const name of await readdir(directory)) {
    const [, pid, host] = NAME.exec(name) ?? []
    if (pid === undefined || name === own) continue
    if (await isStale(join(directory, name), Number(pid), host === HOST)) {
      await unlink(join(directory, name)).catch(ignoreMissing)
    } else {
      free = false
    }
  }
  return free
}

async function isStale (path: string, pid: number, here: boolean): Promise<boolean> {
  if (here && !isAlive(pid)) return true
  // Of another host only the age is known; and a process here can have the number of one long dead.
  const made = await stat(path).then(({ mtimeMs }) => mtimeMs, () => 0)
  return Date.now() - made > STALE
}

function isAlive (pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
