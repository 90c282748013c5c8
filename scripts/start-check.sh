#!/usr/bin/env bash
# Runs `npm start`, then every command that it prints. Checks that the commands show the resumed connections that the text promises.
set -euo pipefail
cd "$(dirname "$0")/.."
output=$(mktemp)
PORT=0 METRICS_PORT=0 setsid npm start >"$output" 2>&1 &
server=$!
trap 'kill -- -"$server" 2>/dev/null || true; rm -f "$output"' EXIT

for _ in $(seq 300); do
  grep -q 'Stop with' "$output" && break
  kill -0 "$server" 2>/dev/null || { cat "$output"; exit 1; }
  sleep 1
done

resumed=0
while IFS= read -r command; do
  echo "$command"
  answer=$(timeout 60 bash -c "$command" 2>/dev/null </dev/null) || { echo 'failed'; exit 1; }
  count=$(grep -o '"resumed":true' <<<"$answer" | wc -l || true)
  resumed=$((resumed + count))
  if [[ $command == *'/metrics' ]]; then grep '^tls_ticket_resumed_total{protocol="TLSv1.3"} 2$' <<<"$answer"; fi
done < <(grep -E '^  (curl|printf|npx) ' "$output")

# Three connections resume: curl's second connection, and OpenSSL's second connection for each TLS version.
[ "$resumed" -eq 3 ] || { echo "expected 3 resumed connections, saw $resumed"; exit 1; }
echo "$resumed of 3 connections resumed, as the text promises"
