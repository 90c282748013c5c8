#!/bin/sh
# Builds the addon for this machine. Puts the stripped binary where lib/native/binding.ts looks for it. Warnings are errors
# (native/addon.gypi).
set -eu
cd "$(dirname "$0")/.."

node-gyp configure --prebuild
node-gyp build --jobs max

target=$(node -e '
  const { platform, arch, report } = process
  const musl = platform === "linux" && report.getReport().header.glibcVersionRuntime === undefined
  console.log(`prebuilds/${platform}-${arch}${musl ? "-musl" : ""}`)')
mkdir -p "$target"
# Rename the new binary into place, so that a running process keeps the old binary.
binary=$target/fastify_ticket_keys.node
cp build/Release/fastify_ticket_keys.node "$binary.new"
if [ "$(uname)" = Darwin ]; then
  strip -x "$binary.new"
  codesign --force --sign - "$binary.new" # stripping invalidated the linker's signature
else
  strip --strip-unneeded "$binary.new"
fi
chmod 644 "$binary.new"
mv "$binary.new" "$binary"
echo "$binary: $(wc -c < "$binary") bytes"
