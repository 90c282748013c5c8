import { eraseSourceKeys } from '../sources/assert-keys.js'
import type { KeySource, SourceKeys } from '../sources/key-source.js'
import { SourceError } from '../util/errors.js'

/** A source that has not answered after this time has failed. */
export const SOURCE_TIMEOUT_MS = 10_000

/** What `load` of a source returns. */
export type Loading = SourceKeys | null | Promise<SourceKeys | null>

/** True for a thenable of any library. */
export function isPromise<Result> (result: Result | PromiseLike<Result>): result is PromiseLike<Result> {
  return 'then' in Object(result)
}

/**
 * Calls `load` of a source. Returns the keys, or a promise if the source returns a promise. The promise rejects with
 * FST_TICKET_KEYS_SOURCE after SOURCE_TIMEOUT_MS. Keys that arrive later are erased, and `onLost` is called.
 */
export function loadKeys (source: KeySource, now: number, keepAlive: boolean, onLost: () => void = () => {}): Loading {
  const loading = source.load(now)
  if (!isPromise(loading)) return loading
  return withTimeout(source, 'load', loading, keepAlive, (keys) => {
    eraseSourceKeys(keys)
    if (keys !== null) onLost()
  })
}

/**
 * Waits for `begun`, the promise of a source's method. Rejects with FST_TICKET_KEYS_SOURCE after SOURCE_TIMEOUT_MS. Passes
 * a result that arrives later to `onLate`.
 *
 * @param keepAlive whether the timeout keeps the process alive; if not, a program with nothing else to wait for exits
 */
export async function withTimeout<Result> (
  source: KeySource, method: string, begun: PromiseLike<Result>, keepAlive = false, onLate: (result: Result) => void = () => {}
): Promise<Result> {
  // Some libraries start their work at each call of `then`.
  const promise = Promise.resolve(begun)
  const seconds = SOURCE_TIMEOUT_MS / 1000
  let late = false
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      late = true
      reject(new SourceError(`source '${source.type}' did not answer within ${seconds} s (${method}): check the source's store`))
    }, SOURCE_TIMEOUT_MS)
    if (!keepAlive) timer.unref()
  })
  promise.then((result) => { if (late) onLate(result) }, () => {})
  try {
    return await Promise.race([promise, timeout])
  } finally {
    clearTimeout(timer)
  }
}
