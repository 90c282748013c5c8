// Usage: node scripts/check-darwin.js BINARY NODE. Fails unless this Node.js for macOS exports every function of Node.js and OpenSSL that
// the Linux binary needs. The binary for macOS is made of the same sources, and only a Mac can build it.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

const LC_DYLD_INFO = 0x22
const LC_DYLD_EXPORTS_TRIE = 0x33
const LC_REQ_DYLD = 0x80000000
const HEADER_SIZE = 32

/** Returns the part of a 64-bit Mach-O file that holds the names it exports. @param {Buffer} file */
function exportsTrie (file) {
  let at = HEADER_SIZE
  for (let commands = file.readUInt32LE(16); commands > 0; commands--) {
    const command = file.readUInt32LE(at) & ~LC_REQ_DYLD
    // struct linkedit_data_command; struct dyld_info_command, whose last pair it is.
    const field = command === LC_DYLD_EXPORTS_TRIE ? 8 : command === LC_DYLD_INFO ? 40 : null
    if (field !== null) {
      const [offset, size] = [file.readUInt32LE(at + field), file.readUInt32LE(at + field + 4)]
      if (size > 0) return file.subarray(offset, offset + size)
    }
    at += file.readUInt32LE(at + 4)
  }
  throw new Error('it exports nothing')
}

/** Reads an unsigned LEB128 number. Returns it and the position behind it. @param {Buffer} bytes @param {number} at */
function readNumber (bytes, at) {
  let value = 0
  for (let shift = 0; ; shift += 7) {
    const byte = /** @type {number} */ (bytes[at++])
    value += (byte & 0x7f) * 2 ** shift
    if (byte < 0x80) return [value, at]
  }
}

/** Every name in a trie, without C's leading underscore. @param {Buffer} trie */
function namesIn (trie) {
  const names = new Set()
  const nodes = [{ at: 0, name: '' }]
  for (let node = nodes.pop(); node !== undefined; node = nodes.pop()) {
    const [length, data] = readNumber(trie, node.at)
    if (length > 0) names.add(node.name.replace(/^_/, ''))
    let at = data + length
    for (let children = /** @type {number} */ (trie[at++]); children > 0; children--) {
      const end = trie.indexOf(0, at)
      const name = node.name + trie.toString('latin1', at, end)
      const [child, next] = readNumber(trie, end + 1)
      nodes.push({ at: child, name })
      at = next
    }
  }
  return names
}

const [binary, node] = process.argv.slice(2)
if (binary === undefined || node === undefined) throw new Error('Usage: node scripts/check-darwin.js BINARY NODE')
const undefinedSymbols = execFileSync('nm', ['-D', '--undefined-only', binary], { encoding: 'utf8' })
// OpenSSL's names begin with capitals or with i2d_, Node-API's with napi_. The others are of the C library.
const needed = [...undefinedSymbols.matchAll(/ U ([A-Z]\w+|i2d_\w+|napi_\w+|node_api_\w+)$/gm)].map(([, name]) => name)
const exported = namesIn(exportsTrie(readFileSync(node)))
const missing = needed.filter((name) => !exported.has(name))
if (missing.length > 0 || needed.length === 0) {
  console.error(`${node} does not export: ${missing.join(', ')}`)
  process.exitCode = 1
} else {
  console.log(`${node}: exports all ${needed.length} functions of Node.js and OpenSSL`)
}
