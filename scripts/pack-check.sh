#!/usr/bin/env bash
# Checks `npm pack` in a clean clone. It must fail, or make a package that contains dist and this machine's binary.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git clone --quiet . "$work/clone"
modules=$PWD/node_modules
cd "$work/clone"

if npm pack >"$work/log" 2>&1; then
  echo 'npm pack succeeded in a clone without its dependencies'; exit 1
fi
if ls ./*.tgz >/dev/null 2>&1; then echo 'npm pack failed, but left a tarball'; exit 1; fi

ln -s "$modules" node_modules
npm pack >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
contents=$(tar -tzf fastify-ticket-keys-*.tgz)
grep -qx package/dist/index.js <<<"$contents"
grep -q '^package/prebuilds/.*/fastify_ticket_keys.node$' <<<"$contents"
cp -r "$modules/../prebuilds" . # with arm64, if scripts/platforms.sh has built it
node scripts/check-size.js

# A release also needs the repository address and the binaries of all platforms. Without both, these checks must fail.
node scripts/repository.js set OWNER/fastify-ticket-keys
for check in 'node scripts/repository.js check' 'node scripts/check-binaries.js --all' 'npm publish --dry-run'; do
  if $check >"$work/log" 2>&1; then echo "this check must fail, but succeeded: $check"; exit 1; fi
done
rm -r prebuilds
if node scripts/check-binaries.js >"$work/log" 2>&1; then echo 'check-binaries.js succeeded without any binary'; exit 1; fi
node scripts/repository.js set owner/name && node scripts/repository.js check
echo 'npm pack makes a complete package, or fails'
