#!/usr/bin/env bash
# Prints the folder of Node.js's headers, OpenSSL's among them: beside the binary, or where node-gyp keeps them.
set -euo pipefail
beside=$(node -p "require('node:path').join(process.execPath, '../../include/node')")
if [ -e "$beside/openssl/ssl.h" ]; then echo "$beside"; exit; fi
npx node-gyp install >/dev/null
node -p "require('node:path').join(require('node:os').homedir(), '.cache/node-gyp', process.versions.node, 'include/node')"
