import neostandard, { plugins } from 'neostandard'

const typescript = plugins['typescript-eslint']

/** All recommended rules that need types, in one object. */
const typeAwareRules = Object.assign({}, ...typescript.configs.recommendedTypeCheckedOnly.map(({ rules }) => rules))

/** tap runs the subtests of a test one after the other, and waits for them. Tests need not await them. */
const subtest = { from: 'package', package: '@tapjs/core', name: 'PromiseWithSubtest' }

export default [
  ...neostandard({
    ts: true,
    ignores: ['dist/**', 'build/**', '.tap/**', 'coverage/**', 'prebuilds/**', 'test/.run-*/**']
  }),
  {
    // No exception for strings, URLs or regular expressions: they can be split.
    rules: { '@stylistic/max-len': ['error', { code: 140 }] }
  },
  {
    // Rules that need the types of the whole program.
    files: ['{lib,test,examples,scripts}/**/*.ts'],
    // The type tests contain type errors on purpose.
    ignores: ['test/types/**'],
    plugins: { '@typescript-eslint': typescript.plugin },
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      ...typeAwareRules,
      '@typescript-eslint/no-floating-promises': ['error', { allowForKnownSafePromises: [subtest] }],
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      // Implementations of an asynchronous interface need not await anything.
      '@typescript-eslint/require-await': 'off',
      // It reports functions without `this`, such as Buffer.alloc.
      '@typescript-eslint/unbound-method': 'off'
    }
  }
]
