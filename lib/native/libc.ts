import { closeSync, openSync, readSync } from 'node:fs'

/**
 * Whether this Node.js runs on musl instead of glibc. Reads the name of the dynamic linker near the beginning of the
 * executable, which takes 0.1 ms. A diagnostic report would list every open handle first.
 *
 * @param execPath for tests @param platform for tests
 */
export function isMusl (execPath = process.execPath, platform: string = process.platform): boolean {
  if (platform !== 'linux') return false
  const head = readHead(execPath)
  if (head.includes('/ld-musl-')) return true
  if (head.includes('/ld-linux')) return false
  return !reportNamesGlibc()
}

function readHead (path: string): Buffer {
  const head = Buffer.alloc(4096)
  try {
    const file = openSync(path, 'r')
    try {
      return head.subarray(0, readSync(file, head))
    } finally {
      closeSync(file)
    }
  } catch {
    // Node.js's permission model may forbid reading the file. The diagnostic report still works.
    return head.subarray(0, 0)
  }
}

function reportNamesGlibc (): boolean {
  // Node.js has excludeNetwork since 20.13, but @types/node 20 does not.
  const report = process.report as typeof process.report & { excludeNetwork: boolean }
  const before = report.excludeNetwork
  // Otherwise the report looks up the peers of all connections in the DNS. On a busy server, this takes minutes.
  report.excludeNetwork = true
  try {
    return (report.getReport() as { header: { glibcVersionRuntime?: string } }).header.glibcVersionRuntime !== undefined
  } finally {
    report.excludeNetwork = before
  }
}
