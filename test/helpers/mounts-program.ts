import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TicketKeysOptions } from '../../lib/config/options.js'
import { createTicketKeys } from '../../lib/create.js'
import { serializeKeys } from '../../lib/keys/formats/index.js'
import { issuerAt, randomKey } from './keys.js'
import { LogCollector } from './managed.js'
import { plainHttps } from './server.js'

/*
 * Starts servers whose keys are in mounts with the owners and modes of Kubernetes, Docker and systemd. Starts as root
 * in its own mount namespace, then becomes the user of the first argument. Prints the outcome of each server.
 */

/** How a server started. */
export interface Outcome {
  /** whether it served a handshake with a ticket */
  serves: boolean
  warnings: string[]
  error: string | null
}

/** Outcomes by name of the case, without and with strictPermissions. */
export type Outcomes = Record<string, { lax: Outcome, strict?: Outcome }>

/** The user that servers run as, the group of the pod's volumes, and a user of the host. */
export const [USER, FS_GROUP, FOREIGN] = [1234, 2000, 4321]

const ROOT = '/mnt'
const SECRET = 'a secret of more than 32 bytes: 0123456789abcdef'

type Mode = [owner: number, group: number, mode: number]

function directory (path: string, [owner, group, mode]: Mode = [0, 0, 0o755]): string {
  mkdirSync(path, { recursive: true })
  chownSync(path, owner, group)
  chmodSync(path, mode)
  return path
}

function file (path: string, [owner, group, mode]: Mode, data: string | Buffer = SECRET): string {
  writeFileSync(path, data)
  chownSync(path, owner, group)
  chmodSync(path, mode)
  return path
}

function link (path: string, target: string, owner = 0): string {
  symlinkSync(target, path)
  execFileSync('chown', ['-h', `${owner}:${owner}`, path])
  return path
}

function keys (path: string, mode: Mode): string {
  return file(path, mode, serializeKeys([randomKey()], 'nginx80'))
}

function tmpfs (path: string, mode: Mode): string {
  directory(path)
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', path])
  return directory(path, mode)
}

/** Mounts a file or a directory elsewhere, as container runtimes do. */
function bind (from: string, to: string, options = 'ro'): string {
  execFileSync('mount', ['--bind', from, to])
  execFileSync('mount', ['-o', `remount,bind,${options}`, to])
  return to
}

/** Mounts a Secret as the kubelet does. With fsGroup, all files belong to the group. */
function kubernetes (name: string, fsGroup: boolean): string {
  const group = fsGroup ? FS_GROUP : 0
  const volume = tmpfs(join(ROOT, `kubelet-${name}`), [0, group, fsGroup ? 0o3777 : 0o1777])
  directory(join(volume, '..2025_01_01'), [0, group, fsGroup ? 0o2755 : 0o755])
  keys(join(volume, '..2025_01_01/tickets'), [0, group, fsGroup ? 0o440 : 0o444])
  link(join(volume, '..data'), '..2025_01_01')
  link(join(volume, 'tickets'), '..data/tickets')
  return volume
}

const asDirectory = (path: string): TicketKeysOptions => ({ environment: false, source: { type: 'directory', path, format: 'nginx80' } })
const asFile = (path: string): TicketKeysOptions => ({ environment: false, source: { type: 'file', path, format: 'nginx80' } })
const asSecret = (path: string): TicketKeysOptions => ({ environment: { data: { TICKET_KEYS_SECRET_FILE: path } }, tls12Tickets: false })

function mounts (): Record<string, TicketKeysOptions> {
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'mode=755', 'tmpfs', ROOT])
  const [plain, group] = [kubernetes('plain', false), kubernetes('group', true)]
  const [host, swarm] = [directory(join(ROOT, 'host'), [FOREIGN, FOREIGN, 0o755]), tmpfs(join(ROOT, 'swarm'), [0, 0, 0o755])]
  const at = (path: string): string => file(join(directory(join(ROOT, 'run/secrets')), path), [0, 0, 0o400], '')
  const credentials = tmpfs(join(ROOT, 'run/credentials/app.service'), [USER, 0, 0o500])
  const foreign = directory(join(ROOT, 'bind'))
  keys(join(host, 'key'), [FOREIGN, FOREIGN, 0o644])
  return {
    Kubernetes: asDirectory(bind(plain, directory(join(ROOT, 'etc/plain')))),
    'Kubernetes, fsGroup': asDirectory(bind(group, directory(join(ROOT, 'etc/group')))),
    'Kubernetes, one file': asFile(join(bind(group, directory(join(ROOT, 'etc/file'))), 'tickets')),
    'Kubernetes, mounted writable': asDirectory(bind(group, directory(join(ROOT, 'etc/writable')), 'rw')),
    'Compose, a secret': asSecret(bind(file(join(ROOT, 'secret'), [FOREIGN, FOREIGN, 0o444]), at('compose'))),
    'Compose, a directory': asDirectory(bind(host, foreign, 'rw')),
    rootless: asSecret(bind(file(join(ROOT, 'nobody'), [65534, 65534, 0o444]), at('rootless'))),
    swarm: asSecret(bind(file(join(swarm, 'id'), [0, 0, 0o444]), at('swarm'))),
    systemd: asSecret(bind(file(join(credentials, 'ticket-secret'), [USER, 0, 0o400]), join(credentials, 'ticket-secret'))),
    ...attacks()
  }
}

function attacks (): Record<string, TicketKeysOptions> {
  const to = (name: string, mode?: Mode): string => directory(join(ROOT, 'attack', name), mode)
  const own: Mode = [USER, USER, 0o400]
  const shared: Mode = [0, 0, 0o1777]
  // Any user may add a file to a sticky directory. Here, the file of another user comes first.
  const sticky = to('sticky', shared)
  keys(join(sticky, 'key'), own)
  keys(join(sticky, '0'), [FOREIGN, FOREIGN, 0o444])
  const inSticky = directory(join(to('tmp', shared), 'keys'), [USER, USER, 0o700])
  keys(join(inSticky, 'key'), own)
  const world = to('world', [0, 0, 0o777])
  const parent = directory(join(world, 'keys'), [USER, USER, 0o700])
  keys(join(parent, 'key'), own)
  const group = to('group', [USER, FS_GROUP, 0o770])
  keys(join(group, 'key'), own)
  return {
    'a sticky directory': asDirectory(sticky),
    'a file in a sticky directory': asFile(join(sticky, 'key')),
    'a directory in a sticky directory': asDirectory(inSticky),
    'a link in a sticky directory to a file elsewhere': asFile(link(join(sticky, 'link'), join(inSticky, 'key'), USER)),
    "another user's link in a sticky directory": asDirectory(link(join(ROOT, 'attack/tmp/link'), inSticky, FOREIGN)),
    "another user's file": asFile(keys(join(to('safe'), 'foreign'), [FOREIGN, FOREIGN, 0o444])),
    'a link into a world-writable directory': asFile(link(join(to('safe'), 'link'), keys(join(world, 'key'), own))),
    'a secret in a world-writable directory': asSecret(file(join(world, 'secret'), own)),
    'a world-writable parent': asDirectory(parent),
    'a world-writable file': asFile(keys(join(to('safe'), 'world'), [USER, USER, 0o602])),
    'a group-writable file': asFile(keys(join(to('safe'), 'group'), [USER, FS_GROUP, 0o660])),
    'a group-writable directory': asDirectory(group),
    'a secret in a group-writable directory': asSecret(file(join(to('secrets', [USER, FS_GROUP, 0o770]), 'secret'), own)),
    'a link': asDirectory(changing(to('changing')))
  }
}

/** Makes a directory whose `..data` link leads to a group-writable directory. */
function changing (path: string): string {
  keys(join(directory(join(path, '..1'), [USER, FS_GROUP, 0o770]), 'key'), [USER, USER, 0o400])
  link(join(path, '..data'), '..1')
  link(join(path, 'key'), '..data/key')
  chownSync(path, USER, USER)
  return path
}

/** Updates the directory as the kubelet does. */
function change (path: string): void {
  mkdirSync(join(path, '..2'))
  chmodSync(join(path, '..2'), 0o770)
  writeFileSync(join(path, '..2/key'), serializeKeys([randomKey()], 'nginx80'), { mode: 0o400 })
  symlinkSync('..2', join(path, '..new'))
  renameSync(join(path, '..new'), join(path, '..data'))
  rmSync(join(path, '..1'), { recursive: true })
}

async function start (options: TicketKeysOptions, changes?: () => void): Promise<Outcome> {
  const log = new LogCollector()
  const outcome = { serves: false, error: null }
  try {
    const keys = await createTicketKeys({ ...options, log })
    const { server, port } = await plainHttps()
    keys.attach(server)
    if (changes !== undefined) {
      changes()
      if (await keys.reload() !== 'success') throw new Error('no new key')
    }
    const serves = await issuerAt(port) === keys.status().current
    server.close()
    await keys.close()
    return { ...outcome, serves, warnings: log.of('warn') }
  } catch (error) {
    return { ...outcome, warnings: log.of('warn'), error: (error as Error).message }
  }
}

if (process.argv[2] !== undefined) {
  process.umask(0o022)
  const servers = mounts()
  const user = Number(process.argv[2])
  // Load the addon and other late modules now, while this process is root.
  await start({ environment: false })
  if (user !== 0) {
    process.setgroups?.([FS_GROUP])
    process.setgid?.(user)
    process.setuid?.(user)
  }
  const outcomes: Outcomes = {}
  for (const [name, options] of Object.entries(servers)) {
    outcomes[name] = { strict: await start({ ...options, strictPermissions: true }), lax: await start(options) }
  }
  const path = join(ROOT, 'attack/changing')
  outcomes['a link that changes'] = { lax: await start(asDirectory(path), () => { change(path) }) }
  process.stdout.write(JSON.stringify(outcomes))
}
