import { createHash, randomBytes } from 'node:crypto'
import { readlinkSync } from 'node:fs'
import { open, readdir, stat, unlink } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { SourceError } from '../../util/errors.js'
import { ignoreMissing } from './atomic-write.js'

/** Age from which a lock is stale. A process normally holds the lock for a few ms. */
const STALE_LOCK_AGE_MS = 60_000

/** ms to wait for the lock. */
const LOCK_TIMEOUT_MS = 30_000

/** Passed to the function that holds the lock. */
export interface Lock {
  /**
   * Throws if another process removed the lock as stale, for example after the machine slept. Call right
   * before each change.
   */
  assertHeld (): Promise<void>
}

/**
 * Runs `work` while no other process does so for this directory.
 *
 * JavaScript has no access to kernel locks, which end with their process. A lock file with a fixed name cannot be taken
 * over safely from a dead process. If two processes find it stale, the second one removes the first one's new lock.
 *
 * Each process therefore creates a lock file with a unique name, and then looks for other lock files. If there are
 * none, the process has the lock. Otherwise it removes its own file and tries again later. Of two processes, at least
 * the later one sees the other's file. The file name contains the process id and the host, so that any process can
 * remove the files of dead processes.
 *
 * @throws SourceError if other processes hold the lock for `timeoutMs` ms
 */
export async function withLock<T> (directory: string, work: (lock: Lock) => Promise<T>, timeoutMs = LOCK_TIMEOUT_MS): Promise<T> {
  const end = performance.now() + timeoutMs
  while (performance.now() < end) {
    if (await isFree(directory)) {
      const name = `.lock.${process.pid}.${HOST_ID}.${randomBytes(8).toString('hex')}`
      const path = join(directory, name)
      await (await open(path, 'wx', 0o600)).close()
      try {
        if (await isFree(directory, name)) {
          return await work({
            assertHeld: async () => {
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

const LOCK_NAME = /^\.lock\.(\d+)\.([0-9a-f]{16})\.[0-9a-f]{16}$/

/** Identifies the PID namespace of this process. Containers can share a host name, but not their processes. */
const HOST_ID = hostId('/proc/self/ns/pid')

/** A hash of the host name and of the link to the PID namespace, if the system has such a link. */
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

/** Whether there is no lock file other than `own`. Removes the lock files of processes that have ended. */
async function isFree (directory: string, own?: string): Promise<boolean> {
  let free = true
  for (const name of await readdir(directory)) {
    const [, pid, host] = LOCK_NAME.exec(name) ?? []
    if (pid === undefined || name === own) continue
    if (await isStale(join(directory, name), Number(pid), host === HOST_ID)) {
      await unlink(join(directory, name)).catch(ignoreMissing)
    } else {
      free = false
    }
  }
  return free
}

async function isStale (path: string, pid: number, here: boolean): Promise<boolean> {
  if (here && !isAlive(pid)) return true
  // For another host, only the age is known. On this host, a new process may have the id of a dead one.
  const made = await stat(path).then(({ mtimeMs }) => mtimeMs, () => 0)
  return Date.now() - made > STALE_LOCK_AGE_MS
}

function isAlive (pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
