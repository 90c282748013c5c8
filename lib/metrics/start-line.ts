import type { RingStatus } from '../manager/ring-status.js'
import type { Logger } from '../util/log.js'

/** What the line shows of a manager's status. */
export type StartStatus = RingStatus & { source: string, memoryLocked: boolean, servers: number }

/**
 * Logs the state of the keys once, at the start.
 *
 * @param metrics where the metrics are, and who can read them
 */
export function logStart (log: Logger, status: StartStatus, metrics: string): void {
  const { source, current, memoryLocked, servers } = status
  const [nextRotation, keysEnd] = [status.nextRotation, status.keysEnd].map((time) => time === null ? null : new Date(time).toISOString())
  const text = [
    `session ticket keys are ready: source '${source}'`,
    counted(status.keys.length, 'key'),
    current === null ? 'no current key' : `current key ${current}`,
    nextRotation === null ? 'no rotation known' : `next rotation ${nextRotation}`,
    ...(keysEnd === null ? [] : [`keys end ${keysEnd}`]),
    counted(servers, 'server'),
    memoryLocked ? 'memory locked' : 'memory not locked',
    `metrics: ${metrics}`
  ].join(', ')
  log.info(text, { source, keys: status.keys.length, current, nextRotation, keysEnd, servers, memoryLocked, metrics })
}

function counted (count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}
