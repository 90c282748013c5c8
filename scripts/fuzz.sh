#!/usr/bin/env bash
# Usage: scripts/fuzz.sh [seconds for each parser, default 60]. Fuzzes each C++ parser of untrusted bytes, with AddressSanitizer and UBSan.
# Each parser starts from test/corpus/<target>. With KEEP=1, the script adds inputs that reach new code to this corpus.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
. scripts/node-headers.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for source in native/fuzz/*.cc; do
  target=$(basename "$source" .cc)
  corpus=test/corpus/$target
  mkdir -p "$work/$target" "$corpus"
  clang++ -std=c++17 -Wall -Wextra -Werror -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
    -Inative -isystem "$node_headers" "$source" native/tls/ticket_data.cc native/tls/client_hello.cc -o "$work/$target.fuzz"
  # libFuzzer writes new inputs to the first directory, and a crashing input to the working directory.
  if ! "$work/$target.fuzz" "$work/$target" "$corpus" \
    -max_total_time="$seconds" -max_len=700 -print_final_stats=1 >"$work/$target.log" 2>&1; then
    cat "$work/$target.log"
    echo "$target: FAILED; the input is in $PWD" >&2
    exit 1
  fi
  if [ "${KEEP:-0}" = 1 ]; then "$work/$target.fuzz" -merge=1 "$corpus" "$work/$target" >/dev/null 2>&1; fi
  inputs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/$target.log")
  echo "$target: $inputs inputs in $seconds s, $(find "$corpus" -type f | wc -l) kept"
done
