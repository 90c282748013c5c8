import { once } from 'node:events'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { createTicketKeys } from '../../lib/create.js'
import type { TicketKeysOptions } from '../../lib/config/options.js'
import { certificate, executeCommands } from './cluster-program.js'
import type { Commands } from './cluster-program.js'
import { threadCode } from './typescript.js'

/*
 * The code of the threads in a test's process. The test itself uses threads.ts. The main thread passes messages between
 * the test and the other threads.
 */

/** A server with managed keys in one of the threads. */
export interface Serving {
  thread: number
  port: number
  /** handle of the server's manager */
  handle: number
}

type Request = { id: number, name: string }
type Reply = { id: number, result?: unknown, error?: string }

/** The module that every thread runs must call this function. */
export async function run (url: string): Promise<void> {
  if (isMainThread) runMainThread(url)
  else await serveThread()
}

function runMainThread (url: string): void {
  const threads: Array<{ ask: (name: string) => Promise<unknown>, end: () => Promise<unknown> }> = []
  executeCommands({
    start: async (options) => {
      const worker = startWorker(url, options)
      const thread = threads.push(askable(worker)) - 1
      const [started] = await once(worker, 'message') as [Omit<Serving, 'thread'>]
      return { ...started, thread } satisfies Serving
    },
    startInMainThread: async (options) => {
      const { commands, ...started } = await serve(options as TicketKeysOptions)
      const thread = threads.push({ ask: async (name) => await commands[name]?.(undefined), end: async () => {} }) - 1
      return { ...started, thread } satisfies Serving
    },
    ask: async (argument) => {
      const { thread, name } = argument as { thread: number, name: string }
      return await threads[thread]?.ask(name)
    },
    terminate: async (thread) => await threads[thread as number]?.end(),
    memory: () => {
      globalThis.gc?.()
      return process.memoryUsage.rss()
    }
  })
}

function startWorker (url: string, options: unknown): Worker {
  return new Worker(threadCode(url), { eval: true, execArgv: [], workerData: options })
}

function askable (worker: Worker): { ask: (name: string) => Promise<unknown>, end: () => Promise<unknown> } {
  const asked = new Map<number, (reply: Reply) => void>()
  let last = 0
  worker.on('message', (reply: Reply) => { asked.get(reply.id)?.(reply) })
  return {
    end: async () => await worker.terminate(),
    ask: async (name) => {
      const id = ++last
      const { result, error } = await new Promise<Reply>((resolve) => {
        asked.set(id, resolve)
        worker.postMessage({ id, name } satisfies Request)
      })
      if (error !== undefined) throw new Error(error)
      return result
    }
  }
}

async function serveThread (): Promise<void> {
  const { commands, ...started } = await serve(workerData as TicketKeysOptions)
  parentPort?.on('message', ({ id, name }: Request) => {
    Promise.resolve().then(() => commands[name]?.(undefined)).then(
      (result) => { parentPort?.postMessage({ id, result } satisfies Reply) },
      (error: Error) => { parentPort?.postMessage({ id, error: error.message } satisfies Reply) }
    )
  })
  parentPort?.postMessage(started)
}

async function serve (options: TicketKeysOptions): Promise<Omit<Serving, 'thread'> & { commands: Commands }> {
  const keys = await createTicketKeys({ ...options, environment: false })
  const server = createServer(certificate(), (request, response) => {
    response.setHeader('connection', 'close').end(String((request.socket as TLSSocket).isSessionReused()))
  })
  keys.attach(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    handle: keys.handle,
    commands: {
      status: () => keys.status(),
      stats: () => keys.stats(),
      rotate: () => keys.rotate(),
      close: () => keys.close(),
      /** Ends the thread when it has nothing left to do: open connections still get a response. */
      finish: async () => {
        server.close()
        await once(server, 'close')
        await keys.close()
        setImmediate(() => parentPort?.close())
      }
    }
  }
}
