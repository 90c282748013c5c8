import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import type { Test } from 'tap'
import { serverCert } from './certs.js'
import { until } from './process.js'

/** A running nginx or HAProxy. */
export interface RealServer {
  /** one port for each `server` block or `bind` line */
  ports: number[]
  /** The directory of the server's configuration and keys. */
  directory: string
  /** Tells the server to reload its configuration and keys. It uses the old ones until new workers run. */
  reload: () => void
}

/**
 * Starts nginx with one `server` block for each string of directives. A block without a `location` responds with `ok`.
 * In these strings, `DIRECTORY` stands for the directory of the keys. `keys` are the files in that directory.
 */
export async function nginx (t: Test, servers: string[], keys: Record<string, Buffer> = {}): Promise<RealServer> {
  const { key, cert } = await serverCert()
  const directory = makeDirectory(t, { ...keys, 'key.pem': key, 'cert.pem': cert })
  const ports = await Promise.all(servers.map(freePort))
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${directory}/${name};`)
  const blocks = servers.map((directives, index) => {
    const response = directives.includes('location') ? '' : 'return 200 ok;'
    return `server { listen 127.0.0.1:${ports[index]} ssl; ${directives.replaceAll('DIRECTORY', directory)} ${response} }`
  })
  const configuration = join(directory, 'nginx.conf')
  writeFileSync(configuration, `daemon off; pid ${directory}/nginx.pid; error_log stderr; worker_processes 2; events {}
    http { access_log off; ${temporary.join(' ')} ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate ${directory}/cert.pem;
    ssl_certificate_key ${directory}/key.pem; ${blocks.join('\n')} }`)
  const child = await start(t, 'nginx', ['-e', 'stderr', '-p', directory, '-c', configuration], ports.at(-1) ?? 0)
  return { ports, directory, reload: () => { child.kill('SIGHUP') } }
}

/**
 * Starts HAProxy with one `bind` line for each string of parameters. In these strings, `DIRECTORY` stands for the
 * directory of the keys. `keys` are the files in that directory.
 */
export async function haproxy (t: Test, binds: string[], keys: Record<string, Buffer> = {}): Promise<RealServer> {
  const { key, cert } = await serverCert()
  const directory = makeDirectory(t, { ...keys, 'both.pem': key + cert })
  const ports = await Promise.all(binds.map(freePort))
  const lines = binds.map((parameters, index) =>
    `  bind 127.0.0.1:${ports[index]} ssl crt ${directory}/both.pem ${parameters.replaceAll('DIRECTORY', directory)}`)
  const configuration = join(directory, 'haproxy.cfg')
  writeFileSync(
    configuration,
    [
      'global',
      '  maxconn 50',
      'defaults',
      '  mode http',
      '  timeout client 5s',
      '  timeout connect 5s',
      '  timeout server 5s',
      'frontend test',
      ...lines,
      '  http-request return status 200',
      ''
    ].join('\n')
  )
  // Run a master and a worker, because the master can start a new worker on a reload.
  const child = await start(t, 'haproxy', ['-W', '-f', configuration], ports.at(-1) ?? 0)
  return { ports, directory, reload: () => { child.kill('SIGUSR2') } }
}

/** Makes a new directory. A test has only one directory of its own, but may start several servers. */
function makeDirectory (t: Test, files: Record<string, string | Buffer>): string {
  const directory = mkdtempSync(join(tmpdir(), 'real-server-'))
  t.teardown(() => { rmSync(directory, { recursive: true }) })
  for (const [name, data] of Object.entries(files)) writeFileSync(join(directory, name), data, { mode: 0o600 })
  return directory
}

/** Starts a real server and waits until it accepts connections at `port`. */
async function start (t: Test, name: string, args: string[], port: number): Promise<ChildProcess> {
  const child = spawn(find(name), args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => { output += text })
  const exit = once(child, 'exit')
  t.teardown(async () => {
    child.kill()
    await exit
  })
  await until(async () => {
    if (child.exitCode !== null) throw new Error(`${name} ended: ${output}`)
    const socket = connect(port, '127.0.0.1')
    const accepted = await once(socket, 'connect').then(() => true, () => false)
    socket.destroy()
    return accepted
  }, 20_000)
  return child
}

function find (name: string): string {
  const directories = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin']
  const path = directories.map((directory) => join(directory, name)).find((candidate) => existsSync(candidate))
  if (path === undefined) throw new Error(`${name} is neither on the PATH nor in /usr/sbin: install it to run this test`)
  return path
}

/** A port of 127.0.0.1 that nothing listens on. */
export async function freePort (): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => { server.close(resolve) })
  return port
}
