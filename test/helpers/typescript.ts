/*
 * How processes and threads that a test starts read TypeScript. Where coverage is taken, as the test itself does: two compilers give one file two
 * line tables, and the coverage of both, merged, is of neither. Else with tsx, which is small and starts at once.
 */

const TSX = import.meta.resolve('tsx')

/** The module that the test runner has Node.js import. */
const RUNNERS = process.execArgv.map((argument) => /^--import=(.*\/@tapjs\/typescript\/.*)$/.exec(argument)?.[1]).find((url) => url !== undefined)

/** What the test runner tells every process of; '0': don't. */
export const COVERAGE_VARIABLE = '_TAPJS_PROCESSINFO_COVERAGE_'

const LOADER = process.env[COVERAGE_VARIABLE] === '1' ? RUNNERS ?? TSX : TSX

/** For Node.js, before the script. */
export function readTypeScript (coverage = true): string[] {
  return [`--import=${coverage ? LOADER : TSX}`]
}

/** CommonJS for a Worker, which on Node.js 20 has none of the main thread's loaders, that runs the module at `url`. */
export function threadCode (url: string): string {
  const [loader, tsx, module] = [LOADER, import.meta.resolve('tsx/esm/api'), url].map((name) => JSON.stringify(name))
  return LOADER === TSX
    ? `import(${tsx}).then(({ register }) => { register(); return import(${module}) })`
    : `import(${loader}).then(() => import(${module}))`
}
