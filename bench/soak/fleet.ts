import { fork, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { makeCa, serverCert, type KeyPair } from '../../test/helpers/certs.js'
import { READ_TYPESCRIPT } from '../../test/helpers/typescript.js'
import { Group, type Client } from './group.js'
import type { Credentials, Listener } from './host.js'
import { Peer, processChannel } from './peer.js'

const PROCESSES = ['servers', 'threads', 'cluster'] as const

/** A process with servers, and the groups of its servers. */
export interface ServerProcess {
  name: typeof PROCESSES[number]
  peer: Peer
  groups: Group[]
}

/** All processes with servers. */
export interface Fleet {
  processes: ServerProcess[]
  stop: () => void
}

const plain = (name: string, servername?: string): Client =>
  ({ name, peer: null, getsTickets: true, cas: '', ...servername !== undefined && { servername } })

const PLAIN_CLIENTS = [plain('no name'), plain('a.test', 'a.test'), plain('b.test', 'b.test')]

/** Starts the processes. `onExit` is called if one of them ends before `stop`. */
export async function startFleet (onExit: (problem: string) => void): Promise<Fleet> {
  const directory = mkdtempSync(join(tmpdir(), 'ticket-keys-soak-'))
  const { credentials, mutualClients } = await makeCredentials()
  const children: ChildProcess[] = []
  let stopped = false
  const processes = await Promise.all(PROCESSES.map(async (name): Promise<ServerProcess> => {
    const child = fork(fileURLToPath(new URL(`${name}.ts`, import.meta.url)), {
      execArgv: ['--expose-gc', ...READ_TYPESCRIPT]
    })
    children.push(child)
    child.on('exit', (code, signal) => { if (!stopped) onExit(`process ${name} ended with ${signal ?? `exit code ${code}`}`) })
    const peer = new Peer(`process ${name}`, processChannel(child))
    const listeners = await peer.ask<Record<string, Listener[]>>('start', { credentials, file: join(directory, 'keys') })
    const groups = Object.entries(listeners).map(([group, own]) =>
      new Group(group, group === 'mutual' ? mutualClients : PLAIN_CLIENTS, own))
    return { name, peer, groups }
  }))
  return {
    processes,
    stop: () => {
      stopped = true
      for (const child of children) child.kill()
      rmSync(directory, { recursive: true, force: true })
    }
  }
}

async function makeCredentials (): Promise<{ credentials: Credentials, mutualClients: Client[] }> {
  const { key, cert, ca } = await serverCert()
  const hosts = ['localhost', '127.0.0.1', 'a.test', 'b.test']
  const [renewed, ...cas] = await Promise.all([ca.issue({ name: 'localhost', hosts }), makeCa('CA A'), makeCa('CA B'), makeCa('CA C')])
  const [caA, caB] = cas
  const [alice, bob] = await Promise.all([
    caA.issue({ name: 'alice', client: true }), caB.issue({ name: 'bob', client: true })
  ]) as [KeyPair, KeyPair]
  return {
    credentials: { servers: [{ key, cert }, renewed], clientCas: cas.map((ca) => ca.cert) },
    mutualClients: [
      { name: 'alice', servername: 'a.test', pair: alice, peer: 'alice', getsTickets: true, cas: '0' },
      { name: 'alice without a name', pair: alice, peer: 'alice', getsTickets: true, cas: '0' },
      { name: 'bob', servername: 'b.test', pair: bob, peer: 'bob', getsTickets: true, cas: '1' },
      { name: 'stranger', servername: 'a.test', peer: null, getsTickets: false, cas: '0' }
    ]
  }
}
