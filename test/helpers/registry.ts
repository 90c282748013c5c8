import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { createServer, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import { listen } from './server.js'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const TARBALL = '/-/'

interface Manifest {
  name: string
  version: string
}

/**
 * An npm registry on loopback that has the packages of this checkout's node_modules, each in every version that lies there, so that an install
 * needs no network and gets what package-lock.json names. `closeAll` of helpers/server.js ends it.
 *
 * @returns its address, for npm's `--registry`
 */
export async function localRegistry (): Promise<string> {
  const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as { packages: Record<string, object> }
  const folders = Object.keys(packages).filter((folder) => folder !== '')
  const server = createServer((request, response) => {
    const path = decodeURIComponent(request.url ?? '/')
    if (path.startsWith(TARBALL)) {
      sendTarball(path.slice(TARBALL.length), folders, response).catch((error: Error) => { response.destroy(error) })
      return
    }
    const name = path.slice(1)
    const found = folders.filter((folder) => folder === `node_modules/${name}` || folder.endsWith(`/node_modules/${name}`))
    const document = describe(name, found, `http://${request.headers.host}`)
    response.statusCode = document === undefined ? 404 : 200
    response.end(JSON.stringify(document ?? {}))
  })
  return `http://127.0.0.1:${await listen(server)}`
}

/** What a registry says of a package: the part of it that npm needs to install one. */
function describe (name: string, folders: string[], origin: string): object | undefined {
  const versions: Record<string, object> = {}
  let latest: string | undefined
  for (const folder of folders) {
    const manifest = readManifest(folder)
    if (manifest === undefined) continue // an optional package, for another platform
    latest ??= manifest.version
    versions[manifest.version] = { ...manifest, dist: { tarball: `${origin}${TARBALL}${encodeURIComponent(folder)}` } }
  }
  return latest === undefined ? undefined : { name, 'dist-tags': { latest }, versions }
}

function readManifest (folder: string): Manifest | undefined {
  try {
    return JSON.parse(readFileSync(join(ROOT, folder, 'package.json'), 'utf8')) as Manifest
  } catch {
    return undefined
  }
}

async function sendTarball (folder: string, folders: string[], response: ServerResponse): Promise<void> {
  if (!folders.includes(folder)) throw new Error(`not a package: ${folder}`)
  const staging = mkdtempSync(join(tmpdir(), 'registry-'))
  try {
    symlinkSync(join(ROOT, folder), join(staging, 'package'))
    // A package's files lie under package/ in its tarball; -h follows the link that gives it that name.
    const tar = spawn('tar', ['-czhf', '-', '--exclude=package/node_modules', '-C', staging, 'package'], { stdio: ['ignore', 'pipe', 'inherit'] })
    await pipeline(tar.stdout, response)
  } finally {
    rmSync(staging, { recursive: true })
  }
}
