/**
 * Real handshakes through every path of the addon. scripts/sanitize.sh and scripts/valgrind.sh run this file under their
 * tools. Its argument is the number of rounds. Prints the results, and exits with 1 if any result is wrong.
 */
import { randomBytes, randomInt } from 'node:crypto'
import type { Server } from 'node:https'
import { createSecureContext } from 'node:tls'
import { Worker } from 'node:worker_threads'
import { Clock } from '../../lib/util/clock.js'
import { addonPaths } from '../../lib/native/binding.js'
import { startTicketKeys } from '../../lib/manager/start.js'
import { resolveOptions } from '../../lib/config/options.js'
import { setTicketKeyCallback, TicketStatus } from '../../lib/tls/ticket-key-callback.js'
import { makeCa, serverCert } from '../helpers/certs.js'
import { connect, PROTOCOLS, sessionTicket, SingleUseClient } from '../helpers/client.js'
import { sendHello } from '../helpers/hello.js'
import type { Hello } from '../helpers/hello.js'
import { mutualServer } from '../helpers/mutual.js'
import { closeAll, plainHttps } from '../helpers/server.js'

const rounds = Number(process.argv[2] ?? 20)
const problems: string[] = []
const check = (right: boolean, what: string): void => { if (!right) problems.push(what) }
const silent = { info () {}, warn () {}, error () {} }
const hour = 3_600_000

const { key, cert, ca } = await serverCert()
const clients = await makeCa('clients')
const alice = await clients.issue({ name: 'alice', client: true })
const clock = new Clock()
const keys = await startTicketKeys(resolveOptions({ environment: false }), silent, clock)

/** Full, resumed, renewed, after rotations, HelloRetryRequest, and with many bad tickets. */
async function plain (): Promise<void> {
  const { server, port } = await plainHttps({ ecdhCurve: 'prime256v1:X25519' })
  keys.attach(server)
  for (const protocol of PROTOCOLS) {
    for (const ecdhCurve of ['X25519:prime256v1', 'secp384r1:prime256v1']) {
      const client = new SingleUseClient({ port, protocol, ecdhCurve, servername: 'a.test' })
      for (let i = 0; i < rounds; i++) {
        await client.connect()
        if (i % 3 === 0) await keys.rotate()
        if (i % 5 === 0) clock.step(hour / 2)
      }
      check(client.resumed >= rounds / 2 - 1 && client.failed === 0, `plain, ${protocol}: ${client.resumed} of ${rounds} resumed`)
    }
    const { session } = await connect({ port, protocol, servername: 'a.test' })
    for (let i = 0; i < rounds; i++) await sendHello(port, hostile(protocol, sessionTicket(session as Buffer)))
  }
}

function hostile (protocol: Hello['protocol'], good: Buffer): Hello {
  const bad = (): Buffer => {
    const copy = Buffer.concat([good, randomBytes(randomInt(50))]).subarray(0, randomInt(1, good.length + 50))
    if (randomInt(2) === 0) copy[randomInt(copy.length)] = randomInt(256)
    return copy
  }
  const serverName = randomInt(3) === 0 ? randomBytes(randomInt(40)) : 'a.test'
  return protocol === 'TLSv1.2'
    ? { protocol, ticket: bad(), serverName, extendedMasterSecret: randomInt(4) !== 0 }
    : { protocol, identities: Array.from({ length: randomInt(1, 20) }, () => ({ ticket: bad() })), serverName }
}

/** Client certificates, hosts of addContext, and changes of both while connections come in. */
async function mutual (): Promise<void> {
  const demands = { requestCert: true, ca: clients.cert }
  const { server, port } = await mutualServer(demands)
  keys.attach(server)
  for (let i = 0; i < rounds; i++) {
    const protocol = PROTOCOLS[i % 2]
    const client = { port, ...alice, servername: 'b.test', ...(protocol !== undefined && { protocol }) }
    const { session } = await connect(client)
    const { reused } = await connect({ ...client, session })
    check(reused, `mutual, ${protocol}: round ${i} not resumed`)
    change(server, i)
    await connect({ ...client, session })
  }
  await keys.revokeSessions()
}

function change (server: Server, i: number): void {
  switch (i % 3) {
    case 0: return server.addContext(`host${i}.test`, createSecureContext({ key, cert, ca: ca.cert }))
    case 1: return server.addContext('b.test', { key, cert, ca: clients.cert })
    default: server.setSecureContext({ key, cert, ca: clients.cert })
  }
}

/** Keys from JavaScript, ticket by ticket. */
async function callback (): Promise<void> {
  const { server, port } = await plainHttps()
  const own = { name: randomBytes(16), aesKey: randomBytes(32), hmacKey: randomBytes(32) }
  let asked = 0
  setTicketKeyCallback(server, () => {
    if (++asked % 7 === 0) throw new Error('on purpose')
    return { status: asked % 5 === 0 ? TicketStatus.None : TicketStatus.Renew, key: own }
  }, { onError: () => {} })
  for (const protocol of PROTOCOLS) {
    const client = new SingleUseClient({ port, protocol })
    for (let i = 0; i < rounds; i++) await client.connect()
  }
  check(asked > rounds, `callback: asked ${asked} times`)
}

/** Loads the addon in a thread that ends before the process does. */
async function worker (): Promise<void> {
  const [path] = addonPaths({ versions: process.versions, features: {}, platform: process.platform, arch: process.arch })
  const code = 'const { Manager } = require(process.argv.at(-1)); new Manager(Number(process.argv.at(-2))).keyTimes()'
  const thread = new Worker(code, { eval: true, argv: [String(keys.handle), String(path)] })
  const status = await new Promise((resolve, reject) => { thread.on('exit', resolve).on('error', reject) })
  check(status === 0, `worker: exit code ${String(status)}`)
}

await plain()
await mutual()
await callback()
await worker()
const { handshakes, resumed, rejected, rotations } = keys.stats()
await keys.close()
await closeAll()
Reflect.get(globalThis, 'gc')?.()
console.log(JSON.stringify({ rounds, rotations, handshakes, resumed, rejected }))
for (const problem of problems) console.error(problem)
process.exitCode = problems.length > 0 ? 1 : 0
