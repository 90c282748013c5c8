#!/usr/bin/env bash
# Usage: scripts/node-matrix.sh [--all] [version…]. Runs tests on other versions of Node.js, with the binary that this
# version built. By default it runs the tests of what may differ between versions: the addon, handshakes and threads.
# --all adds the slow tests.
set -euo pipefail
cd "$(dirname "$0")/.."
all=false
[ "${1:-}" = --all ] && { all=true; shift; }
versions=("$@")
[ ${#versions[@]} -gt 0 ] || versions=(20.19.0 22 24 26)

# These tests do no handshake, do not use the addon, or test other programs. Their results are the same on every version.
excluded=(
  'cli/(generate|inspect-and-convert|rotate|concurrent-runs|rotate-live)'
  'docs/.*'
  'config/(environment|environment-errors)'
  'keys/(formats|malformed-formats|base64)'
  'helpers/.*'
  'package/(package|package-managers|bundlers|lowest-versions|types|types-without-fastify|from-source)'
  'sources/.*'
)
# These tests take minutes, and the shorter tests of the same folders cover the same code. .ci/nightly runs them.
long=(
  'cluster/(metrics|primary|processes|sources)'
  'cli/.*'
  'manager/(clock-steps|optional|ring-size|rotation|threads)'
  'package/.*'
  'tls/(aborted-handshakes|client-cert-expiry|peers)'
)
$all || excluded+=("${long[@]}")
pattern="^test/($(IFS='|'; echo "${excluded[*]}"))\.test\.ts$"
mapfile -t tests < <(printf '%s\n' test/*/*.test.ts | grep -Ev "$pattern")

# All versions use one binary: the prebuilt binary must be the local build without its symbols.
built=build/Release/fastify_ticket_keys.node
prebuilt=prebuilds/$(node -p '`${process.platform}-${process.arch}`')/fastify_ticket_keys.node
stripped=$(mktemp)
log=$(mktemp)
trap 'rm -f "$stripped" "$log"' EXIT
if [ "$(uname)" = Linux ]; then
  strip --strip-unneeded -o "$stripped" "$built"
  cmp "$stripped" "$prebuilt" || { echo "$prebuilt is not the stripped $built. Run: npm run build"; exit 1; }
fi
checksum=$(cksum "$built" "$prebuilt")

for version in "${versions[@]}"; do
  folder=node_modules/.cache/node-matrix/$version
  node=$PWD/$folder/node_modules/node/bin/node
  # The npm package 'node' contains the official binary. Its install script links the binary to bin/node.
  [ -x "$node" ] || npm install --silent --no-save --ignore-scripts=false --prefix "$folder" "node@$version"
  echo "Node.js $("$node" --version), OpenSSL $("$node" -p process.versions.openssl): ${#tests[@]} files"
  started=$SECONDS
  if ! PATH=$(dirname "$node"):$PATH npx tap --disable-coverage --jobs=3 --reporter=tap "${tests[@]}" >"$log" 2>&1; then
    grep -A 40 '^ *not ok' "$log" || cat "$log"
    exit 1
  fi
  # test/native/loader.test.ts prints the Node.js version.
  grep -qE "# Node.js v${version//./\\.}(\.|,|$)" "$log" || { echo "the tests did not run on Node.js $version"; exit 1; }
  echo "$(grep '^# { total' "$log"), $((SECONDS - started)) s"
done

[ "$(cksum "$built" "$prebuilt")" = "$checksum" ] || { echo 'the binary changed while the tests ran'; exit 1; }
