# Source this file in the root of the repository. It makes the folder $work, which is removed at the end, and $tests with the tests
# compiled to JavaScript: tsx needs esbuild, which is not installed for other platforms. $tests has no build/Release, so the tests
# load the binaries in prebuilds. It also sets $root, and $week, which keeps the downloads of a week outside the repository.
root=$PWD
cache=${PLATFORMS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/fastify-ticket-keys}
week=$cache/$(date -u +%G-W%V)
mkdir -p "$week"
# Remove the folders of earlier weeks. One that another run has used in the last 7 days may still be in use.
touch "$week"
find "$cache" -mindepth 1 -maxdepth 1 -type d -name '2[0-9][0-9][0-9]-W[0-9][0-9]' -mtime +7 -exec rm -rf {} +
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tests=$work/project

# Moves a complete download to its folder, unless another run was first. Both are in one file system.
keep () { mv -T "$1" "$2" 2>/dev/null || [ -d "$2" ]; }

step () { printf '\n-- %s (%s s)\n' "$1" "$SECONDS"; }

compile_tests () {
  # Without checking types, which `npm run typecheck` does.
  npx tsc -p tsconfig.json --noEmit false --noCheck --declaration false --sourceMap false --removeComments --outDir "$tests"
  cp -r package.json docs "$tests"
}

# run_test LABEL FILE COMMAND…: runs one compiled test file with a Node.js. Fails if no test passed.
run_test () {
  local label=$1 file=$2 log result started=$SECONDS
  shift 2
  log=$(mktemp -p "$work")
  # qemu is up to twenty times slower than the processor.
  (cd "$tests" && TAP_TIMEOUT=900 "$@" "test/$file.test.js") >"$log" 2>&1 || {
    grep -A 30 '^ *not ok' "$log" || cat "$log"
    echo "$label, $file: FAILED"
    return 1
  }
  result=$(node "$root/scripts/closing-line.js" "$log") || { cat "$log"; echo "$label, $file: no test passed"; return 1; }
  echo "$label, $file: $result, $((SECONDS - started)) s"
}
