import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeCa, type KeyPair } from '../test/helpers/certs.js'

export const KEY_TYPES = ['P-256', 'RSA-2048'] as const
export type KeyType = typeof KEY_TYPES[number]

/** The key, the certificate, both in one file, and the authority that issued the certificates. Paths of PEM files. */
export interface CertificateFiles {
  key: string
  cert: string
  both: string
  ca: string
}

export interface Certificates {
  directory: string
  files: Record<KeyType, CertificateFiles>
  /** a client's key and certificate, in PEM */
  client: KeyPair
}

/** Makes the certificates of a run, in a directory that the process removes when it exits. */
export async function makeCertificates (): Promise<Certificates> {
  const directory = mkdtempSync(join(tmpdir(), 'bench-'))
  process.on('exit', () => { rmSync(directory, { recursive: true, force: true }) })
  const ca = await makeCa('bench')
  const write = async (type: KeyType): Promise<CertificateFiles> => {
    const size = type === 'RSA-2048' ? { rsaBits: 2048 } : {}
    const { key, cert } = await ca.issue({ name: 'localhost', hosts: ['localhost', '127.0.0.1'], ...size })
    const save = (name: string, text: string): string => {
      const path = join(directory, `${type}-${name}.pem`)
      writeFileSync(path, text, { mode: 0o600 })
      return path
    }
    return { key: save('key', key), cert: save('cert', cert), both: save('both', key + cert), ca: save('ca', ca.cert) }
  }
  const files = { 'P-256': await write('P-256'), 'RSA-2048': await write('RSA-2048') }
  return { directory, files, client: await ca.issue({ name: 'client', client: true }) }
}
