import t from 'tap'
import { readRepoFile } from '../helpers/docs.js'

const FILE = 'docs/comparison.md'
const SERVERS = ['this package', 'plain Node.js', 'nginx', 'HAProxy', 'Envoy', 'Caddy', 'Go `crypto/tls`', 's2n-tls']

t.test('docs/comparison.md: every table has every server, and every row names its source', async (t) => {
  const [, ...sections] = readRepoFile(FILE).split(/^## /m)
  const named = new Set<string>()
  for (const section of sections) {
    const rows = [...section.matchAll(/^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$/gm)].slice(1)
    t.same(rows.map(([, server]) => server), SERVERS)
    for (const [row, , , source = ''] of rows) {
      const links = [...source.matchAll(/\[[^\]]+\](?:\[([^\]]+)\]|\([^)]+\))/g)]
      t.ok(links.length > 0, row)
      for (const [, name] of links) if (name !== undefined) named.add(name)
    }
  }
  const defined = [...readRepoFile(FILE).matchAll(/^\[([^\]]+)\]: https:\/\/\S+$/gm)].map(([, name]) => name)
  t.same([...named].sort(), [...defined].sort(), 'every source has an address, and every address is used')
})
