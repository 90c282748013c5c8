// Which folder of lib may import which: imports go down, never up.
const below = {
  util: [],
  native: ['util'],
  keys: ['util'],
  'cluster-ipc': ['keys', 'native', 'util'],
  sources: ['cluster-ipc', 'keys', 'native', 'util'],
  config: ['sources', 'cluster-ipc', 'keys', 'native', 'util'],
  tls: ['native', 'util'],
  manager: ['tls', 'config', 'sources', 'keys', 'native', 'util'],
  metrics: ['manager', 'tls', 'config', 'sources', 'keys', 'native', 'util'],
  cli: ['sources', 'keys', 'native', 'util']
}

/** Files that lower folders may import as well: types, and names that the addon and TypeScript share. */
const exceptions = { keys: ['native/types.ts'] }

const layers = Object.entries(below).map(([folder, allowed]) => ({
  name: `imports-of-${folder}`,
  comment: `lib/${folder} imports only from: ${[folder, ...allowed].join(', ')}`,
  severity: 'error',
  from: { path: `^lib/${folder}/` },
  to: {
    path: '^lib/',
    pathNot: [...[folder, ...allowed].map((name) => `^lib/${name}/`), ...(exceptions[folder] ?? []).map((file) => `^lib/${file}$`)]
  }
}))

export default {
  forbidden: [
    ...layers,
    {
      name: 'no-cycle',
      severity: 'error',
      comment: 'no file imports itself through others',
      from: { path: '^lib/' },
      to: { circular: true }
    },
    {
      name: 'no-flat-files',
      severity: 'error',
      comment: 'only the four entry points lie directly in lib',
      from: { path: '^lib/[^/]+$', pathNot: '^lib/(index|plugin|create|cluster)\\.ts$' },
      to: {}
    },
    { name: 'no-unresolved', severity: 'error', from: { path: '^lib/' }, to: { couldNotResolve: true } }
  ],
  options: {
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' }
  }
}
