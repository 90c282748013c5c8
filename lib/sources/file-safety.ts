import { accessSync, constants, lstatSync, readlinkSync, type Stats } from 'node:fs'
import { dirname, join, resolve } from 'node:path'

const WRITABLE_BY_GROUP = 0o020
const WRITABLE_BY_OTHERS = 0o002
const READABLE_BY_OTHERS = 0o004
const STICKY = 0o1000

/** The most symbolic links that Linux follows in a path. */
const MAX_LINKS = 40

/** Why the file at `path` is not safe: who else can change or read `step`, and what to do. */
export interface Finding {
  path: string
  /** absolute path of the file, or of a directory or link on the way to the file */
  step: string
  /** text that follows the name of the step in a message */
  problem: string
}

interface Problem extends Omit<Finding, 'path'> {
  /** true if the file is refused even without `strict` */
  refused?: boolean
}

/** The path of a directory or file for the system, and the path that messages show. */
interface Place {
  path: string
  shown: string
}

/** Thrown if a file must not be used because of its permissions. */
export class UnsafeFileError extends Error {
  readonly finding: Finding

  constructor (finding: Finding) {
    super(`${finding.step} ${finding.problem}`)
    this.finding = finding
  }
}

/**
 * Checks who else can change files. Follows each path from / to the file, link by link, as OpenSSH's StrictModes does.
 * A step is safe if it is mounted read-only, or if it belongs to root or to this process's user and others cannot write
 * to it. Make a new object for each reading, because an object examines each step only once. Open a file before its
 * check. The check is synchronous, so it would block the event loop on a network file system that does not answer. On
 * Windows, nothing is checked, because the mode of a file there does not show its permissions.
 */
export class FileSafety {
  readonly #strict: boolean
  readonly #platform: string
  readonly #lstat: (path: string) => Stats
  readonly #examined = new Map<string, Stats>()
  readonly #reported = new Set<string>()

  /** @param strict throw instead of warning @param platform for tests @param lstat for tests */
  constructor (strict: boolean, platform: string = process.platform, lstat: (path: string) => Stats = lstatSync) {
    this.#strict = strict
    this.#platform = platform
    this.#lstat = lstat
  }

  /** Returns findings for warnings, each only once per object. Throws UnsafeFileError, or the error of the system. */
  checkFile (path: string): Finding[] {
    return this.#check(path, false)
  }

  /** Like `checkFile`, for a directory whose files are all read. Call `checkFile` for each file too. */
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
    // Do not normalize the path: for the system, `..` after a link is the parent of the link's target.
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
      // Kubernetes' `..data` link leads to a name in the same directory, and the name changes with every update.
      // Messages show the link, because a changed message would be logged as a new warning.
      const isBeside = targetNames.length === 1 && targetNames[0] !== '..' && !target.startsWith('/')
      shownName = isBeside ? shownName ?? name : undefined
    }
    if (isDirectory) yield * this.#examineHolder(directory)
  }

  /** Returns `undefined` if Node.js's permission model denies access to the step. */
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
    // The mode of a link has no effect. In a sticky directory, users cannot replace the files of other users.
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

  /** Checks the directory that holds the files. A user who can write to it can add files, also if it is sticky. */
  * #examineHolder (directory: Place): Generator<Problem> {
    const stats = this.#examined.get(directory.path)
    if (stats === undefined || !isSticky(stats) || !isWritableByOthers(stats) || isReadOnly(directory.path)) return
    yield writable(directory, stats, ', or if it is a shared directory such as /tmp, move the files to a directory of their own')
  }
}

/** Returns a message about a key file. It begins with the step. */
export function describeFinding ({ path, step, problem }: Finding): string {
  const isOnPath = step === '/' || `${resolve(path)}/`.startsWith(`${step}/`)
  return isOnPath ? `${step} ${problem}` : `${step}, to which ${path} leads, ${problem}`
}

/** Returns a message about a file. It follows the words "a file that". */
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
