import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { CertificateFiles } from './certificates.js'
import { freePort } from '../test/helpers/real-servers.js'
import { find, startProgram } from './processes.js'

/** A running server. */
export interface Running {
  pid: number
  ports: number[]
}

export const PROGRAMS = ['nginx', 'HAProxy', 'Caddy'] as const
export type Program = typeof PROGRAMS[number]

/** Writes the configuration, and returns the arguments. Each server has one worker, and answers `ok` without a file. */
const CONFIGURE: Record<Program, (directory: string, port: number, files: CertificateFiles) => string[]> = {
  nginx: (directory, port, { key, cert }) => {
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${directory}/${name};`)
    return ['-e', 'stderr', '-p', directory, '-c', save(directory, `daemon off; pid ${directory}/nginx.pid; error_log stderr;
      worker_processes 1; events {} http { access_log off; ${temporary.join(' ')}
      server { listen 127.0.0.1:${port} ssl; ssl_protocols TLSv1.2 TLSv1.3; ssl_session_timeout 1h;
      ssl_certificate ${cert}; ssl_certificate_key ${key}; return 200 ok; } }`)]
  },
  HAProxy: (directory, port, { both }) => ['-f', save(directory, `global
  nbthread 1
  tune.ssl.lifetime 3600
  maxconn 100
defaults
  mode http
  timeout client 10s
  timeout connect 10s
  timeout server 10s
frontend bench
  bind 127.0.0.1:${port} ssl crt ${both}
  http-request return status 200 content-type text/plain string ok
`)],
  Caddy: (directory, port, { key, cert }) => ['run', '--adapter', 'caddyfile', '--config', save(directory, `{
  admin off
  auto_https off
  skip_install_trust
}
https://127.0.0.1:${port}, https://localhost:${port} {
  bind 127.0.0.1
  tls ${cert} ${key}
  respond ok
}
`)]
}

/** Starts a program with one worker. `undefined` if it is not installed. */
export async function startWebServer (program: Program, directory: string, files: CertificateFiles): Promise<Running | undefined> {
  const path = find(program.toLowerCase())
  if (path === undefined) return undefined
  const port = await freePort()
  const own = join(directory, `${program}-${port}`)
  mkdirSync(own)
  const environment = { GOMAXPROCS: '1', HOME: own, XDG_DATA_HOME: own, XDG_CONFIG_HOME: own }
  const child = await startProgram(path, CONFIGURE[program](own, port, files), port, environment)
  return { pid: child.pid ?? 0, ports: [port] }
}

function save (directory: string, configuration: string): string {
  const path = join(directory, 'configuration')
  writeFileSync(path, configuration)
  return path
}
