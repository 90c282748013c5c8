# Source this file. It sets node_headers to the directory with Node.js's own headers (node.h, openssl/ssl.h). It searches where node-gyp
# searches.
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
  echo "the Node.js headers were not found. Install them, or set npm_config_nodedir to the directory where node-gyp keeps them" >&2
  exit 1
fi
