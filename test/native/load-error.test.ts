import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { notBuiltError } from '../../lib/native/load-error.js'
import type { LoadAttempt, LoadFailure } from '../../lib/native/load-error.js'
import { addonPaths, packageRoot } from '../../lib/native/binding.js'
import { ROOT } from '../helpers/package.js'

const empty = mkdtempSync(join(tmpdir(), 'load-error-'))
t.teardown(() => { rmSync(empty, { recursive: true }) })

const COMPILER = /C\+\+17 compiler.*npm --prefix ".+" run build:native/

function problem (attempt: Partial<LoadAttempt>): string {
  const error = notBuiltError({ platform: 'linux', arch: 'x64', root: ROOT, paths: ['/a.node', '/b.node'], failure: undefined, ...attempt })
  t.match(error, { code: 'FST_TICKET_KEYS_NOT_BUILT', cause: attempt.failure?.cause })
  return error.message
}

function failure (message: string, code = 'ERR_DLOPEN_FAILED'): { failure: LoadFailure } {
  return { failure: { path: '/a.node', cause: Object.assign(new Error(message), { code }) } }
}

t.test('no binary, on a system where the addon compiles: the error advises a compiler', async (t) => {
  t.match(problem({}), /no binary of the addon at \/a\.node or \/b\.node; build it/)
  t.match(problem({ arch: 'riscv64' }), COMPILER)
  t.match(problem({ platform: 'freebsd' }), COMPILER)
})

t.test('no binary, on a system where the addon does not compile: the error advises no compiler', async (t) => {
  const message = problem({ platform: 'win32' })
  t.match(message, /win32-x64 is not supported.*optional/)
  t.notMatch(message, COMPILER)
})

t.test('code outside its package: the error names a bundler, and advises no compiler', async (t) => {
  for (const root of [`${empty}/`, null]) {
    const message = problem({ root, paths: root === null ? [] : ['/a.node'] })
    t.match(message, /bundler.*docs\/installing\.md/)
    t.notMatch(message, COMPILER)
  }
  t.strictSame(addonPaths({ versions: {}, features: {}, platform: 'linux', arch: 'x64' }, packageRoot(undefined)), [])
})

t.test('the published package builds in native, a clone in its top folder', async (t) => {
  const runtime = { versions: {}, features: {}, platform: 'linux', arch: 'x64' }
  t.equal(addonPaths(runtime, `${empty}/`)[0], `${empty}/native/build/Release/fastify_ticket_keys.node`)
  t.equal(addonPaths(runtime, ROOT)[0], `${ROOT}build/Release/fastify_ticket_keys.node`)
})

t.test('a binary that does not load: the advice matches the reason', async (t) => {
  const cases = [
    [
      failure('Cannot load native addon because loading addons is disabled.', 'ERR_DLOPEN_DISABLED'),
      /--allow-addons.*--no-addons/
    ],
    [failure('/a.node: failed to map segment from shared object'), /noexec/],
    [
      failure('libstdc++.so.6: cannot open shared object file: No such file or directory'),
      /install the library libstdc\+\+\.so\.6/
    ],
    [
      failure('Error loading shared library libstdc++.so.6: No such file or directory (needed by /a.node)'),
      /install the library libstdc\+\+\.so\.6/
    ]
  ] as const
  for (const [attempt, advice] of cases) {
    const message = problem(attempt)
    t.match(message, /^ticket keys: the addon at \/a\.node does not load: /)
    t.match(message, advice)
    t.notMatch(message, COMPILER)
  }
  t.match(problem(failure('/a.node: invalid ELF header')), COMPILER)
  t.match(problem({ ...failure('/a.node: invalid ELF header'), root: null }), /damaged/)
})
