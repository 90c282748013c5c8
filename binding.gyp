# node-gyp finds the build here in a clone. This file is not published: with a binding.gyp in a package's root, npm, Yarn and pnpm run
# `node-gyp rebuild` when a user installs the package. The published package has native/binding.gyp.
{
  'includes': ['native/addon.gypi', 'native/portable.gypi']
}
