import type { ProbeOptions } from '../../lib/cli/probe/cases.js'
import { probe } from '../../lib/cli/probe/probe.js'
import type { Report } from '../../lib/cli/probe/report.js'
import { serverCert } from './certs.js'

/** Probes ports of 127.0.0.1. Default: 9 connections per series. */
export async function probeLocal (ports: number[], options: ProbeOptions = {}): Promise<Report> {
  const { ca } = await serverCert()
  return await probe(ports.map((port) => `127.0.0.1:${port}`), { ca: ca.cert, connections: 9, ...options })
}
