// How the processes and threads of a test load TypeScript: with tsx, as the test runner itself does (see .taprc).

/** With '0', the test runner does not record coverage in the process. */
export const COVERAGE_VARIABLE = '_TAPJS_PROCESSINFO_COVERAGE_'

/** Arguments for Node.js, before the script. */
export const READ_TYPESCRIPT = [`--import=${import.meta.resolve('tsx')}`]

/**
 * CommonJS code for a Worker that runs the module at `url`. On Node.js 20, a Worker has no loaders of the main thread.
 */
export function threadCode (url: string): string {
  const [tsx, module] = [import.meta.resolve('tsx/esm/api'), url].map((name) => JSON.stringify(name))
  return `import(${tsx}).then(({ register }) => { register(); return import(${module}) })`
}
