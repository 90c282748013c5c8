#!/usr/bin/env bash
# Real handshakes under AddressSanitizer and UBSan: scripts/sanitize.sh [rounds]. Builds in a copy of the tree, so that build/Release stays what
# it is. Fails when a sanitizer finds anything, or a handshake goes wrong.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-100}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cp -r native lib test binding.gyp package.json tsconfig.json "$work"
ln -s "$PWD/node_modules" "$work/node_modules"
cd "$work"
npx node-gyp configure -- -Dsanitize=address,undefined >gyp.log 2>&1 && npx node-gyp build --jobs max >>gyp.log 2>&1 || { cat gyp.log; exit 1; }
nm -D build/Release/fastify_ticket_keys.node | grep __asan_init >/dev/null || { echo 'the addon was built without AddressSanitizer' >&2; exit 1; }

# Leaks: what only V8's own heap points to would count as one. scripts/valgrind.sh looks for them.
# A small quarantine of freed memory, so that test/tls/malformed-tickets.test.ts can see it stay flat.
export ASAN_OPTIONS=detect_leaks=0:halt_on_error=1:exitcode=99:quarantine_size_mb=8
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1:exitcode=99
sanitized () { LD_PRELOAD=$(gcc -print-file-name=libasan.so) TAP_TIMEOUT=300 timeout 300 node --import tsx "$@"; }
sanitized --expose-gc test/native/handshakes.ts "$rounds"
sanitized test/tls/malformed-tickets.test.ts
echo "AddressSanitizer and UBSan found nothing in $rounds rounds and test/tls/malformed-tickets.test.ts"
