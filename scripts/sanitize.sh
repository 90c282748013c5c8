#!/usr/bin/env bash
# Real handshakes through an addon built with AddressSanitizer and UBSan: scripts/sanitize.sh [rounds]. Fails on the first report. Leaks
# are valgrind's part: Node.js itself leaves much behind at its exit, on purpose.
set -euo pipefail
cd "$(dirname "$0")/.."
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
cp -r native lib test scripts binding.gyp package.json tsconfig.json "$tree"
ln -s "$PWD/node_modules" "$tree/node_modules"
cd "$tree"
npx node-gyp --loglevel=error configure -- -Dsanitize=address,undefined >/dev/null
npx node-gyp --loglevel=error build --jobs max >/dev/null
nm -D build/Release/*.node | grep __asan_report >/dev/null
ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:allow_user_segv_handler=1 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 \
  LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)" \
  node --import tsx scripts/handshakes.ts "${1:-60}"
