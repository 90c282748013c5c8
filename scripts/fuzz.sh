#!/usr/bin/env bash
# Builds and runs a libFuzzer target for each C++ parser of outside bytes: scripts/fuzz.sh [seconds a target]. New inputs go to
# test/corpus; a crash leaves its input in the current folder and fails. Needs clang and its runtime (Debian: clang, libclang-rt-14-dev).
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
headers=$(scripts/openssl-headers.sh)
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
for source in native/fuzz/*.cc; do
  target=$(basename "$source" .cc)
  clang++ -std=c++17 -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -isystem "$headers" \
    "$source" native/ticket_data.cc native/client_hello.cc -o "$build/$target"
  echo "fuzzing $target for $seconds s"
  mkdir -p "test/corpus/$target"
  # In CI the corpus in the repository is read and new inputs are thrown away.
  found=$([ -n "${CI:-}" ] && mktemp -d -p "$build" || echo "test/corpus/$target")
  "$build/$target" -max_total_time="$seconds" -max_len=1024 -print_final_stats=1 "$found" "test/corpus/$target" 2>&1 |
    grep -E 'ERROR|SUMMARY|stat::(number_of_executed_units|new_units_added)'
done
