// A process of the soak test: servers with keys made in memory, with a key file, and with client certificates.
import { rmSync, writeFileSync } from 'node:fs'
import type { Server } from 'node:net'
import type { SecureContext, Server as TlsServer, TlsOptions } from 'node:tls'
import { Registry } from 'prom-client'
import { Clock } from '../../lib/util/clock.js'
import { resolveOptions, type TicketKeysOptions } from '../../lib/config/options.js'
import { registerMetrics } from '../../lib/metrics/register.js'
import { startTicketKeys } from '../../lib/manager/start.js'
import type { TicketKey } from '../../lib/keys/key.js'
import type { TicketKeys } from '../../lib/manager/ticket-keys.js'
import { randomKey, renameKeys, writeKeys } from '../../test/helpers/keys.js'
import { malformed } from '../../test/helpers/malformed.js'
import {
  endWithParent, follow, followOwn, listen, makeServer, MANAGER, readMemory, SoakLog,
  type Connections, type Credentials, type GroupState, type Listener, type ProcessState
} from './host.js'
import { answer, processChannel } from './peer.js'

/** Node.js keeps every context of addContext as long as the server. */
const MAX_ADDED_CONTEXTS = 8

/** Contexts that one renewal makes, so that a leak of contexts shows soon. */
const RENEWALS = 5

/** A manager and its servers, over HTTP/1.1 and HTTP/2. */
interface Group {
  keys: TicketKeys
  clock: Clock
  register: Registry
  connections: Connections
  servers: Server[]
  tls: TlsOptions
  /** the CAs of the host b.test, if it has its own context */
  hostCas?: string[]
}

/** `[group]`, or `[group, argument]`. */
type Argument<Value = never> = [group: string, value: Value]

const log = new SoakLog()
const groups = new Map<string, Group>()
let credentials: Credentials
let keyFile: string
let fileKeys: TicketKey[] = []
let lastHost = 0

function group (name: string): Group {
  return groups.get(name) as Group
}

async function addGroup (name: string, options: TicketKeysOptions, tls: TlsOptions = {}, hostCas?: string[]): Promise<Listener[]> {
  const clock = new Clock()
  const keys = await startTicketKeys(resolveOptions({ ...MANAGER, ...options }), log, clock)
  const register = new Registry()
  registerMetrics(keys, register)
  const made: Group = { keys, clock, register, connections: { accepted: 0, open: 0 }, servers: [], tls, ...hostCas && { hostCas } }
  groups.set(name, made)
  return [await addServer(made, 0), await addServer(made, 1)]
}

/** Makes a group's server over HTTP/1.1 (index 0) or HTTP/2 (index 1). */
async function addServer ({ keys, connections, servers, tls, hostCas }: Group, index: number): Promise<Listener> {
  const http2 = index === 1
  const server = makeServer({ ...credentials.servers[0], ...tls }, http2)
  servers[index] = server
  keys.attach(server)
  if (hostCas !== undefined) addContext([server], 'b.test', hostCas)
  return { port: await listen(server, connections), http2 }
}

/** Applies a change to both servers of a group. */
function setContext ({ servers, tls }: Group, certificate: number): void {
  for (const server of servers) {
    (server as TlsServer).setSecureContext({ ...credentials.servers[certificate], ...tls.ca === undefined ? {} : { ca: tls.ca } })
    followOwn(server)
  }
}

function contextsOf (server: Server): Array<[pattern: unknown, context: SecureContext]> {
  return (server as Server & { _contexts: Array<[unknown, SecureContext]> })._contexts
}

function addContext (servers: Server[], host: string, ca: string[]): void {
  for (const server of servers) {
    (server as TlsServer).addContext(host, { ...credentials.servers[0], ca })
    follow(contextsOf(server).at(-1)?.[1])
  }
}

const commands = {
  start: async (argument: { credentials: Credentials, file: string }): Promise<Record<string, Listener[]>> => {
    credentials = argument.credentials
    keyFile = argument.file
    fileKeys = [randomKey()]
    writeKeys(keyFile, fileKeys)
    const [caA, caB] = credentials.clientCas as [string, string]
    const listeners = {
      memory: await addGroup('memory', {}),
      // A long interval: the list of keys must not be reported as stale.
      file: await addGroup('file', { rotationInterval: '1h', source: { type: 'file', path: keyFile, format: 'nginx80' } }),
      mutual: await addGroup('mutual', {}, { requestCert: true, rejectUnauthorized: false, ca: [caA] }, [caB])
    }
    return listeners
  },

  state: async (): Promise<ProcessState> => ({
    groups: Object.fromEntries([...groups].map(([name, { keys, connections }]): [string, GroupState] =>
      [name, { ...connections, stats: keys.stats() }])),
    log: log.lines,
    memory: await readMemory()
  }),

  rotate: async ([name]: Argument) => { await group(name).keys.rotate() },
  revoke: async ([name]: Argument) => { await group(name).keys.revokeSessions() },
  step: ([name, milliseconds]: Argument<number>) => { group(name).clock.step(milliseconds) },
  scrape: async ([name]: Argument) => {
    const { keys, register } = group(name)
    return (await register.metrics()).length + keys.status().keys.length
  },

  renew: ([name, certificate]: Argument<number>) => {
    for (let i = 0; i < RENEWALS; i++) setContext(group(name), certificate)
  },
  addHost: ([name]: Argument) => {
    const servers = group(name).servers.filter((server) => contextsOf(server).length < MAX_ADDED_CONTEXTS)
    addContext(servers, `host${++lastHost}.test`, [credentials.clientCas[2] as string])
  },
  /** Closes a server, and makes another. */
  replace: async ([name, index]: Argument<number>): Promise<Listener> => {
    const found = group(name)
    const closed = new Promise((resolve) => { found.servers[index]?.close(resolve) })
    await closed
    return await addServer(found, index)
  },
  /** Changes the CAs of the server's own context. */
  ownCas: ([name, cas]: Argument<number[]>) => {
    const found = group(name)
    found.tls = { ...found.tls, ca: cas.map((index) => credentials.clientCas[index] as string) }
    setContext(found, 0)
  },
  hostCas: ([name, cas]: Argument<number[]>) => {
    const found = group(name)
    found.hostCas = cas.map((index) => credentials.clientCas[index] as string)
    addContext(found.servers, 'b.test', found.hostCas)
  },

  /** Puts a new key before the present keys, of which `keep` stay. Returns the names of all keys. */
  newKey: async (keep: number): Promise<string[]> => {
    fileKeys = [randomKey(), ...fileKeys.slice(0, keep)]
    renameKeys(keyFile, fileKeys)
    await group('file').keys.reload()
    return fileKeys.map(({ name }) => name.toString('hex'))
  },
  reload: async () => await group('file').keys.reload(),
  /** Writes a bad key file. The manager must refuse it. Then repairs the file. */
  badFile: async (missing: boolean) => {
    const { keys } = group('file')
    if (missing) rmSync(keyFile)
    else writeFileSync(keyFile, malformed('nginx80'))
    const outcome = await keys.reload().catch((error: Error) => error)
    renameKeys(keyFile, fileKeys)
    if (!(outcome instanceof Error)) throw new Error(`a ${missing ? 'missing' : 'malformed'} key file was ${outcome}`)
    await keys.reload()
  }
}

endWithParent()
answer(processChannel(process), commands)
