import { statSync } from 'node:fs'

/**
 * Returns whether a path exists, as far as this process can see. Never throws. Under Node.js's permission model, existsSync
 * throws an error that contains the path, and the path may be a secret in the wrong variable.
 */
export function pathExists (path: string | Buffer): boolean {
  try {
    statSync(path)
    return true
  } catch {
    return false
  }
}
