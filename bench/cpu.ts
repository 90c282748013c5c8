import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { availableParallelism, cpus } from 'node:os'

/** The CPU time in ns that a process, its threads and its children have used: the first number of each schedstat file. */
export function cpuTime (pid: number): number {
  let total = 0
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const directory = `/proc/${pid}/task/${thread}`
    total += Number(readFileSync(`${directory}/schedstat`, 'utf8').split(' ')[0])
    for (const child of readFileSync(`${directory}/children`, 'utf8').trim().split(' ')) {
      if (child !== '') total += cpuTime(Number(child))
    }
  }
  return total
}

/** Pins a process to one core, so that the load does not evict the server's caches. One core is too few for that. */
export function pin (pid: number, role: 'server' | 'client'): void {
  if (availableParallelism() < 2) return
  execFileSync('taskset', ['--all-tasks', '--cpu-list', '--pid', role === 'server' ? '0' : '1', String(pid)], { stdio: 'ignore' })
}

/** Describes the machine for the results. */
export function machine (): string {
  const model = cpus()[0]?.model.trim() ?? 'unknown processor'
  return `${availableParallelism()} × ${model}, Node.js ${process.version}, OpenSSL ${process.versions.openssl}`
}
