import neostandard, { plugins } from 'neostandard'

export default [
  ...neostandard({
    ts: true,
    ignores: ['dist/**', 'build/**', '.tap/**', 'coverage/**', 'prebuilds/**', 'test/.run-*/**']
  }),
  {
    // Rules that need the types of the whole program.
    files: ['lib/**/*.ts'],
    plugins: { '@typescript-eslint': plugins['typescript-eslint'].plugin, '@stylistic': plugins['@stylistic'] },
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@stylistic/max-len': ['error', { code: 140, ignoreUrls: true }],
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/no-unnecessary-type-assertion': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': 'error'
    }
  }
]
