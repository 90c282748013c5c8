import { visit } from './connections.js'
import type { Group } from './group.js'
import { LIFETIME_MS, type Listener } from './host.js'
import type { Peer } from './peer.js'
import type { Random } from './random.js'

/** Longer than a ticket's life, and than the keys that the server has ahead. */
const FAR_AHEAD_MS = 300_000

/** After this step, present sessions are dated further in the future than the servers accept. */
const FAR_BACK_MS = -600_000

/** Makes up for the step back. */
const RETURN_MS = 900_000

const SMALL_STEP_MS = 3000

/** After a revocation, the clock does not step back past it for this time. */
const AFTER_REVOCATION_MS = 10_000

/** What an event needs: its group, and the process of the group's servers. */
export interface Scene {
  group: Group
  peer: Peer
  random: Random
}

/** Something that happens to the servers of a group. */
export interface SoakEvent {
  name: string
  groups: readonly string[]
  run: (scene: Scene) => Promise<unknown>
}

/** Events that end no session. They happen while clients connect. */
export const QUIET_EVENTS: readonly SoakEvent[] = [
  {
    name: 'rotate',
    groups: ['memory', 'mutual', 'threads', 'cluster'],
    run: async ({ group, peer }) => await peer.ask('rotate', [group.name])
  },
  {
    name: 'scrape',
    groups: ['memory', 'file', 'mutual'],
    run: async ({ group, peer }) => await peer.ask('scrape', [group.name])
  },
  {
    name: 'renew the certificate',
    groups: ['memory', 'file', 'mutual', 'threads', 'cluster'],
    run: async ({ group, peer, random }) => await peer.ask('renew', [group.name, random.below(2)])
  },
  {
    name: 'add a context',
    groups: ['memory', 'file'],
    run: async ({ group, peer }) => await peer.ask('addHost', [group.name])
  },
  {
    name: 'replace a server',
    groups: ['memory', 'file', 'mutual'],
    run: async ({ group, peer, random }) => {
      const index = random.below(2)
      await group.replaceTarget(index, async () => await peer.ask<Listener>('replace', [group.name, index]))
    }
  },
  {
    name: 'new key in the file',
    groups: ['file'],
    run: async ({ group, peer }) => { group.rules.keyNames = await peer.ask<string[]>('newKey', 8) }
  },
  { name: 'reload the file', groups: ['file'], run: async ({ peer }) => await peer.ask('reload') },
  { name: 'bad key file', groups: ['file'], run: async ({ peer, random }) => await peer.ask('badFile', random.below(2) === 0) },
  {
    name: 'restart a thread',
    groups: ['threads'],
    run: async ({ group, peer, random }) => {
      const index = random.below(2)
      const terminate = random.below(2) === 0
      await group.replaceTarget(index, async () => await peer.ask<Listener>('restart', [index, terminate]))
    }
  },
  { name: 'restart a cluster worker', groups: ['cluster'], run: async ({ peer }) => await peer.ask('restart') }
]

/** Events that may end sessions. They happen between rounds, so that each session's fate is certain. */
export const ENDING_EVENTS: readonly SoakEvent[] = [
  {
    name: 'revoke all sessions',
    groups: ['memory', 'file', 'mutual', 'threads'],
    run: async ({ group, peer }) => {
      await peer.ask('revoke', [group.name])
      group.rules.revokedUntil = Math.max(group.now, group.newest)
    }
  },
  {
    name: 'step the clock',
    groups: ['memory', 'mutual'],
    run: async (scene) => {
      const back = scene.group.now - scene.group.rules.revokedUntil > AFTER_REVOCATION_MS
      await step(scene, scene.random.pick(back ? [-SMALL_STEP_MS, SMALL_STEP_MS] : [SMALL_STEP_MS]))
    }
  },
  {
    name: 'step the clock far',
    groups: ['memory', 'mutual'],
    run: async (scene) => {
      const behind = scene.group.rules.clockOffset < -60_000
      await step(scene, behind ? RETURN_MS : scene.random.pick([FAR_AHEAD_MS, FAR_BACK_MS]))
    }
  },
  {
    name: 'drop keys of the file',
    groups: ['file'],
    run: async ({ group, peer, random }) => { group.rules.keyNames = await peer.ask<string[]>('newKey', random.below(3)) }
  },
  {
    // Ends no session. But handshakes that are under way get no ticket: the policy of a new host is not known to them.
    name: 'add a context with client certificates',
    groups: ['mutual'],
    run: async ({ group, peer }) => await peer.ask('addHost', [group.name])
  },
  {
    name: "change the server's own CAs",
    groups: ['mutual'],
    run: async (scene) => {
      await changeCas(scene, 'ownCas', ['alice', 'alice without a name', 'stranger'], scene.random.pick([[0], [0, 2]]))
    }
  },
  {
    name: "change a host's CAs",
    groups: ['mutual'],
    run: async (scene) => { await changeCas(scene, 'hostCas', ['bob'], scene.random.pick([[1], [1, 2]])) }
  },
  { name: 'kill a cluster worker', groups: ['cluster'], run: async ({ peer }) => await peer.ask('kill') }
]

async function step ({ group, peer, random }: Scene, milliseconds: number): Promise<void> {
  await peer.ask('step', [group.name, milliseconds])
  group.step(milliseconds, LIFETIME_MS)
  if (milliseconds < FAR_AHEAD_MS) return
  // The clock has passed all keys. The next handshake gets no ticket, and makes the source make keys.
  const [client] = group.clients
  await group.withTarget(random, async (target) => { await visit(group, client as NonNullable<typeof client>, target, random, true) })
}

async function changeCas ({ group, peer }: Scene, command: string, clients: string[], cas: number[]): Promise<void> {
  await peer.ask(command, [group.name, cas])
  for (const client of clients) group.rules.policies.set(client, cas.join())
}
