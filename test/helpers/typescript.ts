/*
 * How the processes and threads of a test load TypeScript. If coverage is recorded, they use the test's own loader: two
 * compilers would give one file two line tables, and their merged coverage would be wrong. Otherwise they use tsx,
 * which is small and starts fast.
 */

const TSX = import.meta.resolve('tsx')

/** The loader module that the test runner imports with --import. */
const RUNNERS = process.execArgv
  .map((argument) => /^--import=(.*\/@tapjs\/typescript\/.*)$/.exec(argument)?.[1])
  .find((url) => url !== undefined)

/** With '0', the test runner does not record coverage in the process. */
export const COVERAGE_VARIABLE = '_TAPJS_PROCESSINFO_COVERAGE_'

const LOADER = process.env[COVERAGE_VARIABLE] === '1' ? RUNNERS ?? TSX : TSX

/** Arguments for Node.js, before the script. */
export function readTypeScript (coverage = true): string[] {
  return [`--import=${coverage ? LOADER : TSX}`]
}

/**
 * CommonJS code for a Worker that runs the module at `url`. On Node.js 20, a Worker has no loaders of the main thread.
 */
export function threadCode (url: string): string {
  const [loader, tsx, module] = [LOADER, import.meta.resolve('tsx/esm/api'), url].map((name) => JSON.stringify(name))
  return LOADER === TSX
    ? `import(${tsx}).then(({ register }) => { register(); return import(${module}) })`
    : `import(${loader}).then(() => import(${module}))`
}
