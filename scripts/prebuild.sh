#!/bin/sh
# Usage: scripts/prebuild.sh [arch]. Builds the addon for this machine, or for another processor on Linux. Puts the stripped binary
# where lib/native/binding.ts looks for it. Warnings are errors (native/addon.gypi). A Linux binary runs with glibc and with musl
# (native/portable.gypi).
set -eu
cd "$(dirname "$0")/.."
root=$PWD
here=$(node -p process.arch)
arch=${1:-$here}
platform=$(node -p process.platform)
prefix=

if [ "$arch" != "$here" ]; then
  case $platform-$arch in
    linux-arm64) prefix=aarch64-linux-gnu- ;;
    linux-x64) prefix=x86_64-linux-gnu- ;;
    *) echo "$platform-$arch cannot be built on $platform-$here." >&2; exit 1 ;;
  esac
  command -v "${prefix}g++" >/dev/null || { echo "${prefix}g++ is missing. Install it, on Debian with: apt-get install g++-${prefix%-}" >&2; exit 1; }
  export CC="${prefix}gcc" CXX="${prefix}g++" AR="${prefix}ar"
  # A folder of its own: build/ holds this machine's build, which the tests load.
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  cp -r binding.gyp native package.json "$work"
  ln -s "$root/node_modules" "$work/node_modules"
  cd "$work"
fi

node-gyp configure --prebuild --arch="$arch"
node-gyp build --jobs max

target=$root/prebuilds/$platform-$arch
mkdir -p "$target"
# Rename the new binary into place, so that a running process keeps the old binary.
binary=$target/fastify_ticket_keys.node
cp build/Release/fastify_ticket_keys.node "$binary.new"
if [ "$platform" = darwin ]; then
  strip -x "$binary.new"
  codesign --force --sign - "$binary.new" # stripping invalidated the linker's signature
else
  "${prefix}strip" --strip-unneeded "$binary.new"
fi
chmod 644 "$binary.new"
mv "$binary.new" "$binary"
echo "prebuilds/$platform-$arch: $(wc -c < "$binary") bytes"
