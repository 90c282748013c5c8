# Source this file in the root of the repository. It makes the folder $work, which is removed at the end, and $tests with the tests
# compiled to JavaScript: tsx needs esbuild, which is not installed for other platforms. $tests has no build/Release, so the tests
# load the binaries in prebuilds. It also sets $cache, which keeps downloads for a week outside the repository.
cache=${PLATFORMS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/fastify-ticket-keys}
mkdir -p "$cache"
find "$cache" -mindepth 1 -maxdepth 1 -mtime +7 -exec rm -rf {} +
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tests=$work/project

step () { printf '\n-- %s (%s s)\n' "$1" "$SECONDS"; }

compile_tests () {
  # Without checking types, which `npm run typecheck` does.
  npx tsc -p tsconfig.json --noEmit false --noCheck --declaration false --sourceMap false --removeComments --outDir "$tests"
  cp -r package.json docs "$tests"
}

# run_test LABEL FILE COMMAND…: runs one compiled test file with a Node.js.
run_test () {
  local label=$1 file=$2 log started=$SECONDS
  shift 2
  log=$(mktemp -p "$work")
  # qemu is up to twenty times slower than the processor.
  (cd "$tests" && TAP_TIMEOUT=900 "$@" "test/$file.test.js") >"$log" 2>&1 || {
    grep -A 30 '^ *not ok' "$log" || cat "$log"
    echo "$label, $file: FAILED"
    return 1
  }
  echo "$label, $file: $(grep '^# { total' "$log"), $((SECONDS - started)) s"
}
