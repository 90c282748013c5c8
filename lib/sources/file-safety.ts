import { accessSync, constants, lstatSync, readlinkSync, type Stats } from 'node:fs'
import { dirname, join, resolve } from 'node:path'

const WRITABLE_BY_GROUP = 0o020
const WRITABLE_BY_OTHERS = 0o002
const READABLE_BY_OTHERS = 0o004
const STICKY = 0o1000

/** As many as Linux follows. */
const MAX_LINKS = 40

/** Why the file at `path` is not safe: who else can change or read `step`, and what to do. */
export interface Finding {
  path: string
  /** the file, a directory or a link on the way to it; absolute */
  step: string
  /** follows the name of the step */
  problem: string
}

interface Problem extends Omit<Finding, 'path'> {
  /** not with `strict` only */
  refused?: boolean
}

/** A directory or a file as the system finds it, and as messages show it. */
interface Place {
  path: string
  shown: string
}

/** Permissions with which a file must not be used. */
export class UnsafeFileError extends Error {
  readonly finding: Finding

  constructor (finding: Finding) {
    super(`${finding.step} ${finding.problem}`)
    this.finding = finding
  }
}

/**
 * Checks who else can change files. It follows each path from / to the file, link by link, as OpenSSH's StrictModes does. A step is safe
 * if it belongs to root or to this process's user and others cannot write to it, or if it is mounted read-only. Make a new object for each
 * reading, because it looks at each step once. Open a file before its check, which is synchronous: a network file system that does not
 * answer then blocks no event loop. On Windows it checks nothing, because the mode of a file there says nothing about permissions.
 */
export class FileSafety {
  readonly #strict: boolean
  readonly #platform: string
  readonly #lstat: (path: string) => Stats
  readonly #examined = new Map<string, Stats>()
  readonly #reported = new Set<string>()

  /** @param strict throw where it would warn @param platform for tests @param lstat for tests */
  constructor (strict: boolean, platform: string = process.platform, lstat: (path: string) => Stats = lstatSync) {
    this.#strict = strict
    this.#platform = platform
    this.#lstat = lstat
  }

  /** Returns what to warn of, once for all files. Throws UnsafeFileError, or the error of the system. */
  checkFile (path: string): Finding[] {
    return this.#check(path, false)
  }

  /** The same for a directory whose files are all read. Check each of these files too. */
  checkDirectory (path: string): Finding[] {
    return this.#check(path, true)
  }

  #check (path: string, isDirectory: boolean): Finding[] {
    const findings: Finding[] = []
    if (this.#platform === 'win32') return findings
    for (const { step, problem, refused } of this.#walk(path, isDirectory)) {
      const finding = { path, step, problem }
      if (refused === true || this.#strict) throw new UnsafeFileError(finding)
      const key = `${step} ${problem}`
      if (!this.#reported.has(key)) findings.push(finding)
      this.#reported.add(key)
    }
    return findings
  }

  * #walk (path: string, isDirectory: boolean): Generator<Problem> {
    // Not normalized: for the system, `..` after a link is the parent of the link's target.
    const names = namesIn(path.startsWith('/') ? path : `${process.cwd()}/${path}`)
    let directory: Place = { path: '/', shown: '/' }
    let shownName: string | undefined
    let links = 0
    yield * this.#examine(directory, directory)
    for (let name = names.shift(); name !== undefined; name = names.shift()) {
      if (name === '..') {
        directory = { path: dirname(directory.path), shown: dirname(directory.shown) }
        continue
      }
      const isFile = names.length === 0 && !isDirectory
      if (isFile) yield * this.#examineHolder(directory)
      const step = { path: join(directory.path, name), shown: join(directory.shown, shownName ?? name) }
      const stats = yield * this.#examine(step, directory)
      if (stats?.isSymbolicLink() !== true) {
        if (isFile && stats !== undefined && (stats.mode & READABLE_BY_OTHERS) !== 0) {
          yield { step: resolve(path), problem: 'can be read by everybody: chmod o-r' }
        }
        directory = step
        shownName = undefined
        continue
      }
      if (++links > MAX_LINKS) throw Object.assign(new Error(`too many links: ${path}`), { code: 'ELOOP' })
      const target = readlinkSync(step.path)
      const targetNames = namesIn(target)
      names.unshift(...targetNames)
      if (target.startsWith('/')) directory = { path: '/', shown: '/' }
      // Kubernetes' `..data` leads to a name beside it that changes with every update. Messages show the link, or each update would cause
      // a new warning.
      const isBeside = targetNames.length === 1 && targetNames[0] !== '..' && !target.startsWith('/')
      shownName = isBeside ? shownName ?? name : undefined
    }
    if (isDirectory) yield * this.#examineHolder(directory)
  }

  /** Returns `undefined` where Node.js's permission model forbids to look. */
  * #examine (step: Place, directory: Place): Generator<Problem, Stats | undefined> {
    const known = this.#examined.get(step.path)
    if (known !== undefined) return known
    const stats = this.#look(step.path)
    if (stats === undefined) {
      yield { step: step.shown, problem: "can't be checked: start Node.js with an --allow-fs-read that includes it" }
      return undefined
    }
    const isLink = stats.isSymbolicLink()
    const user = process.geteuid?.()
    const isForeign = stats.uid !== 0 && stats.uid !== user
    // The mode of a link says nothing. In a sticky directory, nobody can replace the files of another user.
    const isWritable = !isLink && !isSticky(stats) && isWritableByOthers(stats)
    if ((isForeign || isWritable) && !isReadOnly(isLink ? directory.path : step.path)) {
      if (isWritable) yield writable(step, stats, '')
      if (isForeign) {
        yield { step: step.shown, problem: `belongs to user ${stats.uid}: chown it to root${user === 0 ? '' : ` or to user ${user}`}` }
      }
    }
    this.#examined.set(step.path, stats)
    return stats
  }

  #look (path: string): Stats | undefined {
    try {
      return this.#lstat(path)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ERR_ACCESS_DENIED') return undefined
      throw error
    }
  }

  /** Whoever can write to the directory of a file can add a file, also in a sticky directory. */
  * #examineHolder (directory: Place): Generator<Problem> {
    const stats = this.#examined.get(directory.path)
    if (stats === undefined || !isSticky(stats) || !isWritableByOthers(stats) || isReadOnly(directory.path)) return
    yield writable(directory, stats, ', or if it is a shared directory such as /tmp, move the files to a directory of their own')
  }
}

/** A finding about a key file, in words that begin with the step. */
export function describeFinding ({ path, step, problem }: Finding): string {
  const isOnPath = step === '/' || `${resolve(path)}/`.startsWith(`${step}/`)
  return isOnPath ? `${step} ${problem}` : `${step}, to which ${path} leads, ${problem}`
}

/** A finding about a file, in words that follow "a file that". */
export function describeFile ({ path, step, problem }: Finding): string {
  return step === resolve(path) ? problem : `is reached through ${step}, which ${problem}`
}

function namesIn (path: string): string[] {
  return path.split('/').filter((name) => name !== '' && name !== '.')
}

function isSticky (stats: Stats): boolean {
  return stats.isDirectory() && (stats.mode & STICKY) !== 0
}

function isWritableByOthers ({ mode }: Stats): boolean {
  return (mode & (WRITABLE_BY_OTHERS | WRITABLE_BY_GROUP)) !== 0
}

function isReadOnly (path: string): boolean {
  try {
    accessSync(path, constants.W_OK)
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EROFS'
  }
}

function writable ({ shown }: Place, { mode }: Stats, more: string): Problem {
  const refused = (mode & WRITABLE_BY_OTHERS) !== 0
  return { step: shown, problem: `can be written by ${refused ? 'everybody: chmod o-w' : 'its group: chmod g-w'}${more}`, refused }
}
