import { randomBytes } from 'node:crypto'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { DocumentSource } from '../../examples/custom-source.js'
import { serializeKeys } from '../../lib/keys/formats/index.js'
import type { TicketKey } from '../../lib/keys/key.js'
import { DirectorySource, FileSource } from '../../lib/sources/watched-files.js'
import { MemorySource } from '../../lib/sources/memory.js'
import { SecretSource } from '../../lib/sources/secret.js'
import { StaticSource } from '../../lib/sources/static.js'
import { conformance } from './conformance.js'
import { serveDocument } from '../helpers/document.js'
import { randomKey, renameKeys, updateMountedSecret, writeKeys } from '../helpers/keys.js'
import { closeAll } from '../helpers/server.js'

t.teardown(closeAll)

const HOUR = 3_600_000

/** A key that has issued since a moment ago, so that it takes over from those before it. */
function timedKey (): TicketKey {
  return randomKey({ notBefore: Date.now(), issueUntil: Date.now() + HOUR, acceptUntil: Date.now() + 2 * HOUR })
}

conformance('memory', async () => ({ source: new MemorySource(HOUR, 2 * HOUR) }))

conformance('static', async () => ({
  source: new StaticSource([randomBytes(80), randomBytes(48), randomKey(), { ...randomKey(undefined, 16) }])
}))

conformance('secret', async () => ({
  source: new SecretSource([randomBytes(32), randomBytes(32)], { rotationInterval: HOUR, ticketLifetime: 2 * HOUR, tls12Tickets: true })
}))

conformance('file', async (t) => {
  const path = join(t.testdir(), 'key')
  const keys = [randomKey()]
  writeKeys(path, keys)
  return {
    source: new FileSource(path, 'nginx80', true),
    change: () => {
      keys.unshift(randomKey())
      renameKeys(path, keys)
    },
    damage: () => { rmSync(path) },
    repair: () => { renameKeys(path, keys) }
  }
})

conformance('directory', async (t) => {
  const directory = t.testdir()
  const keys = [timedKey()]
  const swap = (): void => { updateMountedSecret(directory, { keys: serializeKeys(keys, 'json') }) }
  swap()
  return {
    source: new DirectorySource(directory, undefined, true),
    change: () => {
      keys.push(timedKey())
      swap()
    },
    damage: () => { updateMountedSecret(directory, { keys: serializeKeys(keys, 'json').subarray(1) }) },
    repair: swap
  }
})

conformance('the example of a store of your own', async () => {
  const service = await serveDocument(timedKey())
  return {
    source: new DocumentSource(service.url, 100),
    change: () => { service.keys.push(timedKey()) },
    damage: () => { service.broken = true },
    repair: () => { service.broken = false }
  }
})
