import type { ChildProcess } from 'node:child_process'
import type { Worker as ClusterWorker } from 'node:cluster'
import type { MessagePort, Worker } from 'node:worker_threads'

/*
 * Commands between the processes and threads of a run. The caller uses `Peer`, the other side `answer`.
 */

const COMMAND_TIMEOUT_MS = 120_000

/** The functions that the other side may call. */
export type Commands = Record<string, (argument: never) => unknown>

/** One end of a channel. */
export interface Channel {
  send: (message: object) => void
  listen: (listener: (message: unknown) => void) => void
}

interface Request { soak: 'request', id: number, name: string, argument: unknown }
interface Reply { soak: 'reply', id: number, result?: unknown, error?: string }

/** The channel of a child process, a cluster worker or this process's parent. */
export function processChannel (end: ChildProcess | ClusterWorker | NodeJS.Process): Channel {
  return {
    // The end of a process is reported by its 'exit' event.
    send: (message) => { (end as ChildProcess).send(message, () => {}) },
    listen: (listener) => { end.on('message', listener) }
  }
}

/** The channel of a worker thread or its parent thread. */
export function threadChannel (end: Worker | MessagePort): Channel {
  return {
    send: (message) => { end.postMessage(message) },
    listen: (listener) => { end.on('message', listener) }
  }
}

/** Executes the commands that arrive on a channel, and tells the other side that it may send them. */
export function answer (channel: Channel, commands: Commands): void {
  channel.listen((message) => {
    const { soak, id, name, argument } = message as Request
    if (soak !== 'request') return
    const reply = (result: object): void => { channel.send({ soak: 'reply', id, ...result } satisfies Reply) }
    Promise.resolve().then(() => commands[name]?.(argument as never)).then(
      (result) => { reply({ result }) },
      (error: Error) => { reply({ error: error.stack ?? error.message }) }
    )
  })
  channel.send({ soak: 'ready' })
}

/** Calls the commands of another process or thread. */
export class Peer {
  readonly #name: string
  readonly #channel: Channel
  readonly #waiting = new Map<number, (reply: Reply) => void>()
  readonly #ready: Promise<void>
  #last = 0

  constructor (name: string, channel: Channel) {
    this.#name = name
    this.#channel = channel
    this.#ready = new Promise((resolve) => {
      channel.listen((message) => {
        const { soak } = message as { soak?: string }
        if (soak === 'ready') resolve()
        if (soak === 'reply') this.#waiting.get((message as Reply).id)?.(message as Reply)
      })
    })
  }

  /** Rejects with the command's error, or if no answer comes in time. */
  async ask<Result> (name: string, argument?: unknown): Promise<Result> {
    const id = ++this.#last
    const { result, error } = await new Promise<Reply>((resolve) => {
      const timer = setTimeout(() => {
        resolve({ soak: 'reply', id, error: `no answer in ${COMMAND_TIMEOUT_MS / 1000} s` })
      }, COMMAND_TIMEOUT_MS)
      this.#waiting.set(id, (reply) => {
        clearTimeout(timer)
        resolve(reply)
      })
      // A message to a process that is still loading may be lost.
      this.#ready.then(() => { this.#channel.send({ soak: 'request', id, name, argument } satisfies Request) }, () => {})
    })
    this.#waiting.delete(id)
    if (error !== undefined) throw new Error(`${this.#name}, command ${name}: ${error}`)
    return result as Result
  }
}
