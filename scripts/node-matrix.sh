#!/usr/bin/env bash
# Tests on other versions of Node.js, with the binary that was built on this one: `scripts/node-matrix.sh [--all] [version…]`.
# Without --all: what an addon, a handshake or a thread does differently on another version. With --all: everything but what is the same on
# every version.
set -euo pipefail
cd "$(dirname "$0")/.."
all=false
[ "${1:-}" = --all ] && { all=true; shift; }
versions=("$@")
[ ${#versions[@]} -gt 0 ] || versions=(20.19.0 22 24 26)

# No handshake, no addon of their own, or other programs that are the same on every version.
excluded='^test/(cli/(files|rotate-live)|docs/.*|config/environment|keys/formats|helpers/.*|package/(package|package-managers|bundlers|lowest-versions|types|types-without-fastify|from-source)|sources/.*)\.test\.ts$'
# These take minutes, for what the shorter tests of the same folders also touch. .ci/nightly runs them.
long='^test/(cluster/(metrics|primary|processes|sources)|cli/.*|manager/(clock-steps|optional|ring-size|rotation|threads)|package/.*|tls/(aborted-handshakes|client-cert-expiry|peers))\.test\.ts$'
mapfile -t tests < <(printf '%s\n' test/*/*.test.ts | grep -Ev "$excluded" | if $all; then cat; else grep -Ev "$long"; fi)

# One binary everywhere: what is installed (prebuilds) is what is built here (build) without its symbols.
built=build/Release/fastify_ticket_keys.node
prebuilt=$(node --import tsx -e "
  import { isMusl } from './lib/native/libc.js'
  import { addonPaths } from './lib/native/binding.js'
  console.log(addonPaths({ ...process, musl: isMusl() })[1])")
stripped=$(mktemp)
log=$(mktemp)
trap 'rm -f "$stripped" "$log"' EXIT
if [ "$(uname)" = Linux ]; then
  strip --strip-unneeded -o "$stripped" "$built"
  cmp "$stripped" "$prebuilt" || { echo "run npm run build: $prebuilt is not $built, stripped"; exit 1; }
fi
checksum=$(cksum "$built" "$prebuilt")

for version in "${versions[@]}"; do
  folder=node_modules/.cache/node-matrix/$version
  node=$PWD/$folder/node_modules/node/bin/node
  # The npm package 'node' brings the official binary; its install script links it to bin/node.
  [ -x "$node" ] || npm install --silent --no-save --ignore-scripts=false --prefix "$folder" "node@$version"
  echo "Node.js $("$node" --version), OpenSSL $("$node" -p process.versions.openssl): ${#tests[@]} files"
  started=$SECONDS
  PATH=$(dirname "$node"):$PATH npx tap --disable-coverage --jobs=3 --reporter=tap "${tests[@]}" >"$log" 2>&1 || { grep -A 40 '^ *not ok' "$log" || cat "$log"; exit 1; }
  # loader.test.ts says what it ran on.
  grep -qE "# Node.js v${version//./\\.}(\.|,|$)" "$log" || { echo "the tests did not run on Node.js $version"; exit 1; }
  echo "$(grep '^# { total' "$log"), $((SECONDS - started)) s"
done

[ "$(cksum "$built" "$prebuilt")" = "$checksum" ] || { echo 'the binary changed meanwhile'; exit 1; }
