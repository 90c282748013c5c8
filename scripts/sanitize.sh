#!/usr/bin/env bash
# Usage: scripts/sanitize.sh [rounds]. Does real handshakes under AddressSanitizer and UBSan. Builds in a copy of the tree, so that
# build/Release does not change. Fails if a sanitizer finds an error or a handshake fails.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-100}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cp -r native lib test binding.gyp package.json tsconfig.json "$work"
ln -s "$PWD/node_modules" "$work/node_modules"
cd "$work"
{ npx node-gyp configure -- -Dsanitize=address,undefined && npx node-gyp build --jobs max; } >gyp.log 2>&1 || { cat gyp.log; exit 1; }
if ! nm -D build/Release/fastify_ticket_keys.node | grep __asan_init >/dev/null; then
  echo 'the addon was built without AddressSanitizer' >&2
  exit 1
fi

# Leak detection is off: it would report memory that only V8's heap points to. scripts/valgrind.sh looks for leaks.
# The quarantine of freed memory is small, so that test/tls/malformed-tickets.test.ts can check that memory does not grow.
export ASAN_OPTIONS=detect_leaks=0:halt_on_error=1:exitcode=99:quarantine_size_mb=8
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1:exitcode=99
sanitized () { LD_PRELOAD=$(gcc -print-file-name=libasan.so) TAP_TIMEOUT=300 timeout 300 node --import tsx "$@"; }
sanitized --expose-gc test/native/handshakes.ts "$rounds"
sanitized test/tls/malformed-tickets.test.ts
echo "AddressSanitizer and UBSan found nothing in $rounds rounds and test/tls/malformed-tickets.test.ts"
