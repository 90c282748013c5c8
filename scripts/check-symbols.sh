#!/usr/bin/env bash
# Usage: scripts/check-symbols.sh BINARY. Fails if the binary needs a newer glibc or libstdc++ than the official builds of Node.js 20.
set -euo pipefail
symbols=$(objdump -T "$1")
for limit in GLIBC_2.28 GLIBCXX_3.4.25; do
  highest=$(grep -oE "${limit%%_*}_[0-9.]+" <<<"$symbols" | sort -Vu | tail -1)
  echo "needs $highest, may need $limit"
  [ "$(printf '%s\n' "$highest" "$limit" | sort -V | tail -1)" = "$limit" ]
done
