import type { KeyFormat } from '../../keys/formats/index.js'
import { keyId, type KeyState, type KeyTimes } from '../../keys/key.js'
import { readKeys } from './read.js'
import { stateOf } from './timetable.js'

/** Options of `inspect`. */
export interface InspectOptions {
  format?: KeyFormat
}

/** A key without its secret bytes. Times are ISO 8601. `null` means no limit, or a list without times. */
export interface KeyDescription {
  /** first 8 hex digits of the name, as in metrics and logs */
  id: string
  /** 32 hex digits; every ticket contains the name in clear */
  name: string
  cipher: 'AES-128-CBC' | 'AES-256-CBC'
  state: KeyState | 'expired'
  notBefore: string | null
  issueUntil: string | null
  acceptUntil: string | null
}

/** What `inspect --json` prints. */
export interface Inspection {
  path: string
  format: KeyFormat
  timed: boolean
  keys: KeyDescription[]
}

/** Names, times and states of the keys in a file or directory. */
export async function inspect (path: string, { format }: InspectOptions, now = Date.now()): Promise<Inspection> {
  const read = await readKeys(path, format)
  const time = (value: number) => read.timed && Number.isFinite(value) ? new Date(value).toISOString() : null
  const keys = read.keys.map((key): KeyDescription => ({
    id: keyId(key.name),
    name: key.name.toString('hex'),
    cipher: key.aesKey.length === 16 ? 'AES-128-CBC' : 'AES-256-CBC',
    state: stateOf(key, read.keys, now),
    notBefore: time(key.notBefore),
    issueUntil: time(key.issueUntil),
    acceptUntil: time(key.acceptUntil)
  }))
  return { path, format: read.format, timed: read.timed, keys }
}

/** The table that `inspect` prints. */
export function formatInspection ({ path, format, timed, keys }: Inspection): string {
  const order = timed
    ? ''
    : ', without times: the order decides which key issues, and all others are accepted ("previous"), one that issues next too'
  const lines = [`${path}: ${format}, ${keys.length} ${keys.length === 1 ? 'key' : 'keys'}${order}`]
  const titles = ['STATE', 'NAME', 'CIPHER', ...(timed ? ['ISSUES FROM', 'ISSUES UNTIL', 'ACCEPTED UNTIL'] : [])]
  const rows = [titles, ...keys.map((key) => [key.state, key.name, key.cipher, ...(timed ? timeCells(key) : [])])]
  const widths = titles.map((_, column) => Math.max(...rows.map((row) => (row[column] as string).length)))
  for (const row of rows) lines.push(row.map((cell, column) => cell.padEnd(widths[column] as number)).join('  ').trimEnd())
  if (!keys.some(({ state }) => state === 'current')) lines.push('No key issues tickets now.')
  return lines.join('\n') + '\n'
}

function timeCells ({ notBefore, issueUntil, acceptUntil }: Record<keyof KeyTimes, string | null>): string[] {
  return [notBefore ?? 'always', issueUntil ?? 'for ever', acceptUntil ?? 'for ever']
}
