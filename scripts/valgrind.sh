#!/usr/bin/env bash
# Real handshakes under valgrind's memcheck: scripts/valgrind.sh [rounds]. Fails on an error or a definite leak with the addon in its
# stack; V8's generated code and Node.js itself are not ours to judge.
set -euo pipefail
cd "$(dirname "$0")/.."
report=$(mktemp)
trap 'rm -f "$report"' EXIT
valgrind --tool=memcheck --leak-check=full --show-leak-kinds=definite --num-callers=40 --xml=yes --xml-file="$report" \
  node --expose-gc --import tsx test/native/handshakes.ts "${1:-2}"
node scripts/valgrind-report.js "$report" fastify_ticket_keys.node
