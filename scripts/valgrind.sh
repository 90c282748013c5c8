#!/usr/bin/env bash
# Usage: scripts/valgrind.sh [rounds]. Does real handshakes under valgrind's memcheck, with the addon as built. Fails on errors with the
# addon in their stack: invalid accesses, uninitialised values, leaks. Ignores the other errors, which V8 and OpenSSL cause.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-12}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Compile to JavaScript first: a transpiler under valgrind would be too slow.
npx tsc --noCheck --outDir "$work" --declaration false --sourceMap false
cp package.json binding.gyp "$work"
mkdir -p "$work/build/Release"
cp build/Release/fastify_ticket_keys.node "$work/build/Release"
ln -s "$PWD/node_modules" "$work/node_modules"
cd "$work"

timeout 600 valgrind --tool=memcheck --smc-check=all-non-file --num-callers=30 --leak-check=full --show-leak-kinds=definite,indirect \
  --xml=yes --xml-file=findings.xml node --expose-gc --jitless test/native/handshakes.js "$rounds"
grep -q '</valgrindoutput>' findings.xml || { echo 'valgrind did not finish' >&2; exit 1; }
awk -v RS='</error>' '/fastify_ticket_keys\.node<\/obj>/ { print; ours = 1 } END { exit ours }' findings.xml >&2 || {
  echo 'valgrind: these findings are in the addon' >&2
  exit 1
}
echo "valgrind: $(grep -c '<error>' findings.xml) findings elsewhere, none in the addon, in $rounds rounds"
