import 'reflect-metadata'
import { KeyObject, webcrypto } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as x509 from '@peculiar/x509'

/** Returns a self-signed certificate for localhost, for experiments only. The first call makes it and keeps it in `directory`. */
export async function localCertificate (directory: string): Promise<{ key: string, cert: string }> {
  const keyFile = join(directory, 'key.pem')
  const certFile = join(directory, 'cert.pem')
  if (!existsSync(keyFile) || !existsSync(certFile)) {
    const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
    const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      name: 'CN=localhost',
      notAfter: new Date(Date.now() + 365 * 86_400_000),
      signingAlgorithm: algorithm,
      keys,
      extensions: [new x509.SubjectAlternativeNameExtension([
        { type: 'dns', value: 'localhost' }, { type: 'ip', value: '127.0.0.1' }, { type: 'ip', value: '::1' }
      ])]
    })
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    writeFileSync(keyFile, KeyObject.from(keys.privateKey).export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 })
    writeFileSync(certFile, certificate.toString('pem') + '\n')
  }
  return { key: readFileSync(keyFile, 'utf8'), cert: readFileSync(certFile, 'utf8') }
}
