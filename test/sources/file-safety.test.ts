import { execFile } from 'node:child_process'
import { chmodSync, lstatSync, readFileSync, realpathSync, symlinkSync, writeFileSync, type Stats } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import ts from 'typescript'
import { FileSafety } from '../../lib/sources/file-safety.js'
import { FOREIGN, USER, type Outcomes } from '../helpers/mounts-program.js'
import { COVERAGE_VARIABLE, READ_TYPESCRIPT } from '../helpers/typescript.js'

const run = promisify(execFile)
const PROGRAM = fileURLToPath(new URL('../helpers/mounts-program.ts', import.meta.url))

/** Starts the servers of the program as a user. Mounts need root with CAP_SYS_ADMIN, or sudo without a password. */
async function outcomesFor (user: number): Promise<Outcomes> {
  // Another user cannot write to root's coverage directory.
  const coverage = user === 0
  const env = { ...process.env, NODE_OPTIONS: undefined, ...coverage ? {} : { [COVERAGE_VARIABLE]: '0' } }
  const inNamespace = async (...command: string[]): Promise<string> => {
    const [program = '', ...args] = [...process.getuid?.() === 0 ? [] : ['sudo', '-n', '-E'], 'unshare', '--mount', '--', ...command]
    return (await run(program, args, { env })).stdout
  }
  await inNamespace('true').catch((cause: unknown) => {
    throw new Error('this test mounts file systems: run it as root with CAP_SYS_ADMIN, or with sudo that asks for no password', { cause })
  })
  return JSON.parse(await inNamespace(process.execPath, ...READ_TYPESCRIPT, PROGRAM, `${user}`)) as Outcomes
}

const byEverybody = 'can be written by everybody: chmod o-w'
const byGroup = 'can be written by its group: chmod g-w'
const readable = 'can be read by everybody: chmod o-r'
const shared = `${byEverybody}, or if it is a shared directory such as /tmp, move the files to a directory of their own`
const secret = 'TICKET_KEYS_SECRET_FILE names a file that'
const foreign = (owner: number, orTo = ` or to user ${USER}`): string => `belongs to user ${owner}: chown it to root${orTo}`

/** Lists: the warnings, which are errors with strictPermissions. Strings: what is refused in any case. */
const asUser: Record<string, string[] | string> = {
  Kubernetes: [`/mnt/etc/plain/tickets ${readable}`],
  'Kubernetes, fsGroup': [],
  'Kubernetes, one file': [],
  'Kubernetes, mounted writable': `/mnt/etc/writable ${shared}`,
  'Compose, a secret': [`${secret} ${foreign(FOREIGN)}`, `${secret} ${readable}`],
  'Compose, a directory': [`/mnt/bind ${foreign(FOREIGN)}`, `/mnt/bind/key ${foreign(FOREIGN)}`, `/mnt/bind/key ${readable}`],
  rootless: [`${secret} ${foreign(65534)}`, `${secret} ${readable}`],
  swarm: [`${secret} ${readable}`],
  systemd: [],
  'a sticky directory': `/mnt/attack/sticky ${shared}`,
  'a file in a sticky directory': `/mnt/attack/sticky ${shared}`,
  'a directory in a sticky directory': [],
  'a link in a sticky directory to a file elsewhere': `/mnt/attack/sticky ${shared}`,
  "another user's link in a sticky directory": [`/mnt/attack/tmp/link ${foreign(FOREIGN)}`],
  "another user's file": [`/mnt/attack/safe/foreign ${foreign(FOREIGN)}`, `/mnt/attack/safe/foreign ${readable}`],
  'a link into a world-writable directory': `/mnt/attack/world, to which /mnt/attack/safe/link leads, ${byEverybody}`,
  'a secret in a world-writable directory': `${secret} is reached through /mnt/attack/world, which ${byEverybody}`,
  'a world-writable parent': `/mnt/attack/world ${byEverybody}`,
  'a world-writable file': `/mnt/attack/safe/world ${byEverybody}`,
  'a group-writable file': [`/mnt/attack/safe/group ${byGroup}`],
  'a group-writable directory': [`/mnt/attack/group ${byGroup}`],
  'a secret in a group-writable directory': [`${secret} is reached through /mnt/attack/secrets, which ${byGroup}`],
  // Warn only once, although the link's target changes.
  'a link': [`/mnt/attack/changing/..data, to which /mnt/attack/changing/key leads, ${byGroup}`],
  'a link that changes': [`/mnt/attack/changing/..data, to which /mnt/attack/changing/key leads, ${byGroup}`]
}

t.test('servers of an unprivileged user, with keys in mounts and directories of others', { timeout: 400_000 }, async (t) => {
  const outcomes = await outcomesFor(USER)
  t.same(Object.keys(outcomes), Object.keys(asUser))
  for (const [name, expected] of Object.entries(asUser)) {
    const { lax, strict } = outcomes[name] ?? {}
    if (typeof expected === 'string') {
      for (const outcome of [lax, strict]) t.same(outcome, { serves: false, warnings: [], error: `ticket keys: ${expected}` }, name)
      continue
    }
    t.same(lax, { serves: true, warnings: expected, error: null }, name)
    const [problem] = expected
    const refused = { serves: false, warnings: [], error: `ticket keys: ${problem}` }
    if (strict !== undefined) t.same(strict, problem === undefined ? lax : refused, `${name}: strict`)
  }
})

t.test('servers of root: what is mounted read-only is safe, whoever owns it', { timeout: 400_000 }, async (t) => {
  const outcomes = await outcomesFor(0)
  for (const [name, warnings] of Object.entries({
    Kubernetes: [`/mnt/etc/plain/tickets ${readable}`],
    'Kubernetes, fsGroup': [],
    'Compose, a secret': [`${secret} ${readable}`],
    'Compose, a directory': [`/mnt/bind ${foreign(FOREIGN, '')}`, `/mnt/bind/key ${foreign(FOREIGN, '')}`, `/mnt/bind/key ${readable}`],
    rootless: [`${secret} ${readable}`],
    swarm: [`${secret} ${readable}`],
    systemd: [`${secret} is reached through /mnt/run/credentials/app.service, which ${foreign(USER, '')}`]
  })) t.same(outcomes[name]?.lax, { serves: true, warnings, error: null }, name)
  t.match(outcomes['Kubernetes, mounted writable']?.lax, { serves: false, error: `/mnt/etc/writable ${shared}` })
})

t.test('paths are followed as the system follows them', (t) => {
  const root = t.testdir({ safe: { inner: {}, key: 'x' }, unsafe: { inner: {}, key: 'x' } })
  const at = (path: string): string => `${root}/${path}`
  for (const path of ['safe/key', 'unsafe/key']) chmodSync(at(path), 0o600)
  chmodSync(at('unsafe'), 0o777)
  symlinkSync(at('unsafe/inner'), at('safe/absolute'))
  symlinkSync('../unsafe/inner', at('safe/relative'))
  symlinkSync('.', at('safe/self'))
  symlinkSync('..', at('safe/up'))
  symlinkSync('key', at('safe/beside'))
  symlinkSync('beside', at('safe/twice'))
  const cases: Array<[path: string, unsafe: boolean]> = [
    [at('safe/key'), false],
    [at('safe//./inner/../key'), false],
    [relative('', at('safe/key')), false],
    [at('safe/self/self/key'), false],
    [at('safe/self/beside'), false],
    [at('safe/twice'), false],
    [at('safe/up/safe/key'), false],
    // If the path were normalized, it would be safe/key.
    [at('safe/absolute/../key'), true],
    [at('safe/relative/../key'), true],
    [at('safe/up/unsafe/key'), true],
    [relative('', at('unsafe/key')), true]
  ]
  for (const [path, unsafe] of cases) {
    readFileSync(path)
    const check = (): unknown => new FileSafety(true).checkFile(path)
    if (unsafe) t.throws(check, { message: `${at('unsafe')} ${byEverybody}` }, path)
    else t.same(check(), [], path)
  }
  chmodSync(at('safe/key'), 0o620)
  t.same(new FileSafety(false).checkFile(at('safe/twice')),
    [{ path: at('safe/twice'), step: at('safe/twice'), problem: byGroup }], 'a link stands for its target')
  t.same(new FileSafety(true).checkDirectory(at('safe/inner/..')), [])
  t.throws(() => new FileSafety(false).checkDirectory(at('safe/up/unsafe/inner')), { message: `${at('unsafe')} ${byEverybody}` })
  symlinkSync('loop', at('safe/loop'))
  t.throws(() => new FileSafety(false).checkFile(at('safe/loop')), { code: 'ELOOP' })
  t.throws(() => new FileSafety(false).checkFile(at('safe/none')), { code: 'ENOENT' })
  t.end()
})

t.test('each problem is told once for all files of a directory', (t) => {
  const directory = t.testdir({ a: 'x', b: 'x' })
  chmodSync(directory, 0o1770)
  for (const name of ['a', 'b']) chmodSync(join(directory, name), 0o600)
  const safety = new FileSafety(false)
  const problem = `${byGroup}, or if it is a shared directory such as /tmp, move the files to a directory of their own`
  t.same(safety.checkDirectory(directory), [{ path: directory, step: directory, problem }])
  for (const name of ['a', 'b']) t.same(safety.checkFile(join(directory, name)), [])
  t.end()
})

t.test('the effective user of the process counts', (t) => {
  const path = join(t.testdir({ key: 'x' }), 'key')
  chmodSync(path, 0o600)
  const ownedBy = (uid: number) => (step: string): Stats => step === path ? Object.assign(lstatSync(step), { uid }) : lstatSync(step)
  const [user, root] = [process.geteuid?.() ?? 0, process.getuid?.() === 0]
  try {
    if (root) process.seteuid?.(USER)
    const effective = process.geteuid?.() ?? 0
    t.same(new FileSafety(true, 'linux', ownedBy(effective)).checkFile(path), [])
    const problem = `belongs to user ${FOREIGN}: chown it to root or to user ${effective}`
    t.throws(() => new FileSafety(true, 'linux', ownedBy(FOREIGN)).checkFile(path), { message: `${path} ${problem}` })
  } finally {
    process.seteuid?.(user)
  }
  t.end()
})

const denied = "can't be checked: start Node.js with an --allow-fs-read that includes it"

t.test("a directory that Node.js's permission model hides is a warning, or an error", async (t) => {
  const root = realpathSync(t.testdir({ keys: { key: 'x' } }))
  const key = join(root, 'keys/key')
  chmodSync(key, 0o600)
  const steps = key.split('/').slice(0, -2).map((_, index, names) => `/${names.slice(1, index + 1).join('/')}`)
  const findings = steps.map((step) => ({ path: key, step, problem: denied }))
  const source = readFileSync(new URL('../../lib/sources/file-safety.ts', import.meta.url), 'utf8')
  const { outputText } = ts.transpileModule(source, { compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 } })
  const program = join(root, 'keys/program.mjs')
  writeFileSync(program, `${outputText}\nconsole.log(JSON.stringify(new FileSafety(false).checkFile(${JSON.stringify(key)})))`)
  const permission = process.allowedNodeEnvironmentFlags.has('--permission') ? '--permission' : '--experimental-permission'
  // Clear the environment: the test runner's variables make Node.js load files that it is not allowed to read.
  const { stdout } = await run('env', ['-i', process.execPath, permission, `--allow-fs-read=${join(root, 'keys')}/`, program])
  t.same(JSON.parse(stdout), findings, 'for real')

  const hidden = (path: string): Stats => {
    if (steps.includes(path)) throw Object.assign(new Error(), { code: 'ERR_ACCESS_DENIED' })
    return lstatSync(path)
  }
  t.same(new FileSafety(false, 'linux', hidden).checkFile(key), findings)
  t.throws(() => new FileSafety(true, 'linux', hidden).checkFile(key), { message: `/ ${denied}` })
})

t.test('on Windows nothing is checked', (t) => {
  const path = join(t.testdir({ key: 'x' }), 'key')
  chmodSync(path, 0o666)
  t.throws(() => new FileSafety(false, 'linux').checkFile(path), { message: `${path} ${byEverybody}` })
  t.same(new FileSafety(true, 'win32').checkFile(path), [])
  t.end()
})
