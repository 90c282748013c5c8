import { partToMarkdown } from './markdown.js'
import { PARTS, type Results } from './results.js'
import { targets } from './targets.js'

/**
 * The page with the tables of the results. In the page, each part has a pair of markers: `<!-- bench servers -->` and
 * `<!-- /bench -->`. What stands between them is replaced.
 */
export function updatePage (page: string, results: Results): string {
  return page.replaceAll(/<!-- bench (\w+) -->[^]*?<!-- \/bench -->/g, (_match, name: string) => {
    return `<!-- bench ${name} -->\n${section(name, results)}<!-- /bench -->`
  })
}

function section (name: string, results: Results): string {
  if (name === 'targets') return targets(results)
  const part = results[PARTS.find((part) => part === name) ?? 'servers']
  if (part === undefined) return 'Not measured yet.\n'
  return `${partToMarkdown(part)}\n![The same figures as a chart.](img/bench-${name}.svg)\n`
}
