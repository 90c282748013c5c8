#!/usr/bin/env bash
# What the ticket policy costs a resumed handshake, in the server's instructions as callgrind counts them (repeatable, whatever else the
# machine does). Fails if it is 1 % of a TLS 1.3 resumption or more. Needs valgrind and libssl-dev.
set -euo pipefail
cd "$(dirname "$0")/.."
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
sources=(native/{attached_context,client_hello,client_trust,counters,handshake,key_ring,secret_memory,ticket_callbacks,ticket_crypto,ticket_data,ticket_manager,ticket_policy}.cc)
g++ -std=c++17 -O2 -g native/bench/policy_cost.cc "${sources[@]}" -lssl -lcrypto -lpthread -o "$build/policy_cost"

# Instructions of one handshake: the difference between many and few, so that the start does not count.
per_handshake () {
  local few=10 many=60 counts=()
  for handshakes in $few $many; do
    counts+=("$(valgrind --tool=callgrind --callgrind-out-file=/dev/null --toggle-collect=ServerStep \
      "$build/policy_cost" "$@" "$handshakes" 2>&1 | sed -n 's/.*Collected : \([0-9]*\).*/\1/p')")
  done
  echo $(( (counts[1] - counts[0]) / (many - few) ))
}

failed=0
for version in 1.2 1.3; do
  for clients in plain mutual; do
    bare=$(per_handshake bare "$version" "$clients")
    policy=$(per_handshake policy "$version" "$clients")
    echo "TLS $version, $clients: $bare instructions without the policy, $policy with it, $((policy - bare)) more ($(( (policy - bare) * 10000 / bare )) in 10,000)"
    if [ "$version" = 1.3 ] && [ $(( (policy - bare) * 100 )) -ge "$bare" ]; then failed=1; fi
  done
done
exit $failed
