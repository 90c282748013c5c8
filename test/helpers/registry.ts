import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { createServer, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { listen } from './server.js'

const run = promisify(execFile)
const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const TARBALL = '/-/'

interface Manifest {
  name: string
  version: string
}

/**
 * Starts an npm registry on loopback that serves the packages in this checkout's node_modules, in all installed
 * versions. Installations then need no network and get the versions of package-lock.json. `closeAll` of
 * helpers/server.js stops the registry.
 *
 * @param more other projects whose node_modules the registry also serves
 * @returns the address, for npm's `--registry`
 */
export async function localRegistry (...more: string[]): Promise<string> {
  const folders = [ROOT, ...more].flatMap((project) => {
    const { packages } = JSON.parse(readFileSync(join(project, 'package-lock.json'), 'utf8')) as { packages: Record<string, object> }
    return Object.keys(packages).filter((folder) => folder !== '').map((folder) => join(project, folder))
  })
  const tarballs = new Tarballs()
  const answer = async (path: string, origin: string, response: ServerResponse): Promise<void> => {
    const folder = path.startsWith(TARBALL) ? path.slice(TARBALL.length) : undefined
    if (folder !== undefined && folders.includes(folder)) {
      response.end(await tarballs.get(folder))
      return
    }
    const name = path.slice(1)
    const found = folders.filter((candidate) => candidate.endsWith(`/node_modules/${name}`))
    const document = await describe(name, found, origin, tarballs)
    response.statusCode = document === undefined ? 404 : 200
    response.end(JSON.stringify(document ?? {}))
  }
  const server = createServer((request, response) => {
    answer(decodeURIComponent(request.url ?? '/'), `http://${request.headers.host}`, response).catch((error: Error) => {
      response.destroy(error)
    })
  })
  return `http://127.0.0.1:${await listen(server)}`
}

/** The part of a registry's package document that package managers need for an installation. */
async function describe (name: string, folders: string[], origin: string, tarballs: Tarballs): Promise<object | undefined> {
  const versions: Record<string, object> = {}
  let latest: string | undefined
  for (const folder of folders) {
    const manifest = readManifest(folder)
    if (manifest === undefined) continue // an optional package of another platform
    latest ??= manifest.version
    // Yarn 1 installs nothing without a checksum.
    const shasum = createHash('sha1').update(await tarballs.get(folder)).digest('hex')
    versions[manifest.version] = { ...manifest, dist: { shasum, tarball: `${origin}${TARBALL}${encodeURIComponent(folder)}` } }
  }
  return latest === undefined ? undefined : { name, 'dist-tags': { latest }, versions }
}

function readManifest (folder: string): Manifest | undefined {
  try {
    return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest
  } catch {
    return undefined
  }
}

/** Packs each folder once. */
class Tarballs {
  readonly #packed = new Map<string, Promise<Buffer>>()

  async get (folder: string): Promise<Buffer> {
    const packed = this.#packed.get(folder) ?? pack(folder)
    this.#packed.set(folder, packed)
    return await packed
  }
}

async function pack (folder: string): Promise<Buffer> {
  const staging = mkdtempSync(join(tmpdir(), 'registry-'))
  try {
    symlinkSync(folder, join(staging, 'package'))
    // A tarball has the package's files under package/. -h follows the symbolic link of that name.
    const { stdout } = await run('tar', ['-czhf', '-', '--exclude=package/node_modules', '-C', staging, 'package'], {
      encoding: 'buffer',
      maxBuffer: 2 ** 28
    })
    return stdout
  } finally {
    rmSync(staging, { recursive: true })
  }
}
