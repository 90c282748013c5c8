/*
 * How processes and threads that a test starts read TypeScript: as the test itself does. Two compilers give one file two line tables, and the
 * coverage of both, merged, is of neither.
 */

/** The module that the test runner had Node.js import; tsx where a test is run by itself. */
const LOADER = process.execArgv.map((argument) => /^--import=(.*\/@tapjs\/typescript\/.*)$/.exec(argument)?.[1]).find((url) => url !== undefined) ??
  import.meta.resolve('tsx')

/** For Node.js, before the script. */
export const READ_TYPESCRIPT = [`--import=${LOADER}`]

/** CommonJS for a Worker, which on Node.js 20 has none of the main thread's loaders, that runs the module at `url`. */
export function threadCode (url: string): string {
  const module = JSON.stringify(url)
  if (!LOADER.includes('tsx')) return `import(${JSON.stringify(LOADER)}).then(() => import(${module}))`
  return `import(${JSON.stringify(import.meta.resolve('tsx/esm/api'))}).then(({ register }) => { register(); return import(${module}) })`
}
