#!/usr/bin/env bash
# Runs the prebuilt binary and a choice of tests on Debian 13 with Debian's own Node.js 20.19, which is linked to the system's OpenSSL.
# Then runs them again with OpenSSL's FIPS provider in its strictest setting, configured as docs/installing.md says.
# Needs debootstrap, and root for chroot and mount. Keeps the system for a week outside the repository.
set -euo pipefail
shopt -s inherit_errexit # a failed download ends the script
cd "$(dirname "$0")/.."
. scripts/compiled-tests.sh
debian=$week/debian-13
export DEBIAN_FRONTEND=noninteractive

if [ ! -d "$debian" ]; then
  step 'install Debian 13'
  packages=nodejs,openssl,openssl-provider-fips
  download=$(mktemp -d -p "$week")
  debootstrap --variant=minbase --include=$packages trixie "$download/debian" http://deb.debian.org/debian >"$work/log" 2>&1 ||
    { tail "$work/log"; exit 1; }
  rm -rf "$download"/debian/var/cache/apt/archives/*.deb
  keep "$download/debian" "$debian"
  rm -rf "$download"
fi

step 'compile the tests'
compile_tests
mkdir "$tests/node_modules" "$tests/prebuilds"
mkdir -p "$debian/srv/project"

# Runs a command in the project on Debian 13. The mounts end with the command. This machine's certificates are not there.
on_debian () {
  unshare --mount bash -c '
    set -e
    debian=$1 tests=$2 root=$3
    shift 3
    mount --bind "$tests" "$debian/srv/project"
    for folder in node_modules prebuilds; do mount --bind "$root/$folder" "$debian/srv/project/$folder"; done
    mount -t proc proc "$debian/proc"
    mount -t tmpfs tmpfs "$debian/tmp"
    exec chroot "$debian" env --unset=NODE_EXTRA_CA_CERTS --chdir=/srv/project "$@"' _ "$debian" "$tests" "$root" "$@"
}

on_debian openssl fipsinstall -quiet -pedantic -module /usr/lib/x86_64-linux-gnu/ossl-modules/fips.so -out /srv/project/fipsmodule.cnf
sed -n '/^```ini/,/^```$/{/^```/d;p}' docs/installing.md | sed 's|/etc/ssl/fipsmodule.cnf|/srv/project/fipsmodule.cnf|' >"$tests/fips.cnf"
grep -q 'fips=yes' "$tests/fips.cnf" || { echo 'docs/installing.md has no OpenSSL configuration for FIPS'; exit 1; }

# Without the provider X25519 works, with it X25519 must fail: otherwise the tests would prove nothing.
for fips in 0 1; do
  configuration=()
  [ $fips = 0 ] || configuration=(OPENSSL_CONF=/srv/project/fips.cnf)
  on_debian "${configuration[@]}" node --input-type=module --eval '
    import { generateKeyPairSync, getFips } from "node:crypto"
    const fips = Number(process.argv[1])
    let x25519 = true
    try { generateKeyPairSync("x25519") } catch { x25519 = false }
    if (!process.config.variables.node_shared_openssl) throw new Error("this Node.js has an OpenSSL of its own")
    if (getFips() !== fips || x25519 === (fips === 1)) throw new Error("the configuration of OpenSSL has no effect")
    console.log(`Node.js ${process.version}, OpenSSL ${process.versions.openssl}, FIPS ${fips}`)' $fips
done

step 'tests'
# tls/policy-matrix: client certificates. cluster/workers: keys that the primary seals for its workers.
# The test of a rotation every second needs an idle machine.
files=(tls/tickets tls/callback tls/policy-matrix sources/secret manager/rotation cluster/workers)
debian_test () {
  local label='Debian 13' environment=(TAP_TIMEOUT=900 TAP_GREP='/^a rotation every second under load/' TAP_INVERT=1)
  [ "$1" = default ] || { label='Debian 13, FIPS'; environment+=(OPENSSL_CONF=/srv/project/fips.cnf); }
  [ "$2" != cluster/workers ] || environment+=(TAP_GREP='/^a manual rotation|^a worker that was forked before/' TAP_INVERT=0)
  run_test "$label" "$2" on_debian "${environment[@]}" node
}
export -f debian_test run_test on_debian
export debian tests root work
# shellcheck disable=SC2016 # the inner shell expands these
for file in "${files[@]}"; do printf 'default\0%s\0fips\0%s\0' "$file" "$file"; done |
  xargs -0 -n 2 -P "$(nproc)" bash -c 'debian_test "$1" "$2"' _
step 'done'
