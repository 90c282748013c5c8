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
node -e '
  const xml = require("node:fs").readFileSync("findings.xml", "utf8")
  if (!xml.trimEnd().endsWith("</valgrindoutput>")) throw new Error("valgrind did not finish")
  const findings = xml.match(/<error>[^]*?<\/error>/g) ?? []
  const ours = findings.filter((finding) => finding.includes("fastify_ticket_keys.node"))
  for (const finding of ours) console.error(finding)
  console.log(`valgrind: ${findings.length} findings elsewhere, ${ours.length} in the addon, in ${process.argv[1]} rounds`)
  process.exitCode = ours.length > 0 ? 1 : 0
' "$rounds"
