import 'reflect-metadata'
import { KeyObject, webcrypto } from 'node:crypto'
import { isIP } from 'node:net'
import {
  AuthorityKeyIdentifierExtension, BasicConstraintsExtension, ExtendedKeyUsage, ExtendedKeyUsageExtension, KeyUsageFlags,
  KeyUsagesExtension, SubjectAlternativeNameExtension, SubjectKeyIdentifierExtension, X509Certificate, X509CertificateGenerator,
  X509CrlGenerator
} from '@peculiar/x509'
import type { Extension } from '@peculiar/x509'

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
const DAY = 86_400_000

/** When a certificate is valid. Default: from yesterday, for ten years. */
export interface Validity {
  notBefore?: Date
  notAfter?: Date
}

/** The contents of a leaf certificate. */
export interface LeafOptions extends Validity {
  /** The common name. */
  name: string
  /** DNS names (wildcards too) and IP addresses. */
  hosts?: string[]
  /** A client's certificate instead of a server's. */
  client?: boolean
  /** Use an RSA key with this number of bits instead of an elliptic-curve key, to test keys that TLS finds too weak. */
  rsaBits?: number
}

/**
 * A private key and its certificate, in PEM. The intermediate certificates follow the certificate, without the root.
 */
export interface KeyPair {
  key: string
  cert: string
}

/** A certificate authority made for a test. */
export interface Ca {
  /** This authority's own certificate in PEM. For a root, it is the value of the `ca` option. */
  cert: string
  /** Issues a certificate of this authority. */
  issue: (options: LeafOptions) => Promise<KeyPair>
  /** Makes a revocation list of this authority, in PEM. */
  crl: (revoked: KeyPair[], nextUpdate?: Date) => Promise<string>
  /** Makes an intermediate authority under this one. */
  intermediate: (name: string, validity?: Validity) => Promise<Ca>
}

interface Authority {
  certificate: X509Certificate
  signingKey: webcrypto.CryptoKey
  /** PEM certificates that a server must send after the leaf certificate, up to the root. */
  chain: string
}

/** Makes a root certificate authority. */
export async function makeCa (name: string, validity: Validity = {}): Promise<Ca> {
  const keys = await generateKeys()
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: [{ CN: [name] }], keys, signingAlgorithm: ALGORITHM, ...dates(validity), extensions: await authorityExtensions(keys)
  })
  return authority({ certificate, signingKey: keys.privateKey, chain: '' })
}

/** The certificate of most test servers, and the authority that issued it. Made once per process. */
export function serverCert (): Promise<KeyPair & { ca: Ca }> {
  cachedServerCert ??= makeServerCert()
  return cachedServerCert
}

let cachedServerCert: Promise<KeyPair & { ca: Ca }> | undefined

async function makeServerCert (): Promise<KeyPair & { ca: Ca }> {
  const ca = await makeCa('test root')
  const hosts = ['localhost', '127.0.0.1', '::1', 'a.test', 'b.test', '*.wild.test']
  return { ...await ca.issue({ name: 'localhost', hosts }), ca }
}

function authority (issuer: Authority): Ca {
  return {
    cert: pem(issuer.certificate),
    issue: (options) => issueLeaf(issuer, options),
    crl: (revoked, nextUpdate) => issueCrl(issuer, revoked, nextUpdate),
    intermediate: (name, validity) => issueIntermediate(issuer, name, validity)
  }
}

async function issueLeaf (issuer: Authority, options: LeafOptions): Promise<KeyPair> {
  const keys = await generateKeys(options.rsaBits)
  const usage = options.client === true ? ExtendedKeyUsage.clientAuth : ExtendedKeyUsage.serverAuth
  const extensions: Extension[] = [
    new BasicConstraintsExtension(false, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
    new ExtendedKeyUsageExtension([usage])
  ]
  if (options.hosts !== undefined) {
    extensions.push(new SubjectAlternativeNameExtension(
      options.hosts.map((value) => ({ type: isIP(value) === 0 ? 'dns' : 'ip', value }))))
  }
  const certificate = await sign(issuer, options.name, keys, options, extensions)
  const key = KeyObject.from(keys.privateKey).export({ type: 'pkcs8', format: 'pem' }).toString()
  return { key, cert: pem(certificate) + issuer.chain }
}

async function issueCrl (issuer: Authority, revoked: KeyPair[], nextUpdate = new Date(Date.now() + DAY)): Promise<string> {
  const list = await X509CrlGenerator.create({
    issuer: issuer.certificate.subject,
    thisUpdate: new Date(Date.now() - DAY),
    nextUpdate,
    entries: revoked.map(({ cert }) => ({
      serialNumber: new X509Certificate(cert).serialNumber,
      revocationDate: new Date(Date.now() - DAY)
    })),
    signingAlgorithm: ALGORITHM,
    signingKey: issuer.signingKey
  })
  return `${list.toString('pem').replaceAll(' CRL-', ' X509 CRL-')}\n`
}

async function issueIntermediate (issuer: Authority, name: string, validity: Validity = {}): Promise<Ca> {
  const keys = await generateKeys()
  const certificate = await sign(issuer, name, keys, validity, await authorityExtensions(keys))
  return authority({ certificate, signingKey: keys.privateKey, chain: pem(certificate) + issuer.chain })
}

async function sign (
  issuer: Authority, name: string, keys: webcrypto.CryptoKeyPair, validity: Validity, extensions: Extension[]
): Promise<X509Certificate> {
  return await X509CertificateGenerator.create({
    subject: [{ CN: [name] }],
    issuer: issuer.certificate.subjectName,
    publicKey: keys.publicKey,
    signingKey: issuer.signingKey,
    signingAlgorithm: ALGORITHM,
    ...dates(validity),
    extensions: [...extensions, await AuthorityKeyIdentifierExtension.create(issuer.certificate.publicKey)]
  })
}

async function authorityExtensions (keys: webcrypto.CryptoKeyPair): Promise<Extension[]> {
  return [
    new BasicConstraintsExtension(true, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
    await SubjectKeyIdentifierExtension.create(keys.publicKey)
  ]
}

async function generateKeys (rsaBits?: number): Promise<webcrypto.CryptoKeyPair> {
  const rsa = { name: 'RSASSA-PKCS1-v1_5', modulusLength: rsaBits ?? 0, publicExponent: new Uint8Array([1, 0, 1]), hash: 'SHA-256' }
  return await webcrypto.subtle.generateKey(rsaBits === undefined ? ALGORITHM : rsa, true, ['sign', 'verify'])
}

function dates ({ notBefore, notAfter }: Validity): Required<Validity> {
  return {
    notBefore: notBefore ?? new Date(Date.now() - DAY),
    notAfter: notAfter ?? new Date(Date.now() + 3650 * DAY)
  }
}

function pem (certificate: X509Certificate): string {
  return `${certificate.toString('pem')}\n`
}
