#!/usr/bin/env bash
# Counts the server's instructions for a resumed handshake, with the ticket policy and with a bypass that accepts every ticket. Links the
# addon's own sources against the system's OpenSSL. Fails if the policy costs 1 % of a TLS 1.3 resumption or more.
set -euo pipefail
cd "$(dirname "$0")/.."
handshakes=30
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

sources=$(ls native/tls/*.cc native/keys/*.cc)
# shellcheck disable=SC2086
g++ -std=c++17 -Wall -Wextra -Werror -Os -g -Inative native/bench/*.cc $sources -lssl -lcrypto -o "$work/handshakes"

# Prints the number of instructions for one resumed handshake.
count () {
  if ! valgrind --tool=callgrind --toggle-collect=ServerStep --callgrind-out-file="$work/out" \
    "$work/handshakes" "$@" resumed "$handshakes" >"$work/log" 2>&1; then
    cat "$work/log" >&2
    exit 1
  fi
  echo $(($(sed -n 's/^\(summary\|totals\): *//p' "$work/out" | tail -1) / handshakes))
}

failed=0
printf '%-32s %12s %12s %10s %9s\n' 'resumed handshake' 'with policy' 'without' 'policy' 'share'
for version in 1.2 1.3; do
  for certificates in none certificates; do
    with=$(count policy "$version" "$certificates")
    without=$(count bypass "$version" "$certificates")
    [ "$without" -gt 100000 ] || { echo "no handshake was counted" >&2; exit 1; }
    cost=$((with - without))
    share=$(awk "BEGIN { printf \"%.2f\", 100 * $cost / $without }")
    label="TLS $version, client certificates"
    [ "$certificates" = certificates ] || label="TLS $version"
    printf '%-32s %12d %12d %10d %7s %%\n' "$label" "$with" "$without" "$cost" "$share"
    if [ "$version" = 1.3 ] && [ $((cost * 100)) -ge "$without" ]; then failed=1; fi
  done
done
if [ "$failed" = 1 ]; then echo 'the policy costs 1 % of a TLS 1.3 resumption or more' >&2; fi
exit "$failed"
