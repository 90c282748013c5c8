# To be sourced: sets node_headers to the directory with Node.js's own headers (node.h, openssl/ssl.h), where node-gyp looks for them.
node_headers=$(node -p '
  const { existsSync } = require("node:fs")
  const { homedir } = require("node:os")
  const { dirname, join } = require("node:path")
  const cache = join(homedir(), ".cache", "node-gyp", process.versions.node)
  const roots = [process.env.npm_config_nodedir, join(dirname(process.execPath), ".."), cache].filter(Boolean)
  const found = roots.map((root) => join(root, "include", "node")).find((path) => existsSync(join(path, "openssl", "ssl.h")))
  found ?? ""
')
if [ -z "$node_headers" ]; then
  echo "no headers of Node.js: install them, or set npm_config_nodedir to where node-gyp has them" >&2
  exit 1
fi
