import { closeSync, openSync, readSync } from 'node:fs'

/**
 * Whether this Node.js runs on musl instead of glibc. Read off the executable itself, which names its dynamic linker near its beginning:
 * that
 * takes 0.1 ms, where a diagnostic report lists every open handle first.
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
    // Node.js's permission model may forbid it; the report can be had even so.
    return head.subarray(0, 0)
  }
}

function reportNamesGlibc (): boolean {
  // Missing in @types/node 20; there since Node.js 20.13.
  const report = process.report as typeof process.report & { excludeNetwork: boolean }
  const before = report.excludeNetwork
  // Else the DNS is asked for the names of the other ends of all connections: minutes, on a busy server.
  report.excludeNetwork = true
  try {
    return (report.getReport() as { header: { glibcVersionRuntime?: string } }).header.glibcVersionRuntime !== undefined
  } finally {
    report.excludeNetwork = before
  }
}
