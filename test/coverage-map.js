// What coverage is asked of: lib. Tests also run dist, examples and scripts, in processes of their own.
import { readdirSync } from 'node:fs'

const files = readdirSync('lib', { recursive: true }).filter((file) => file.endsWith('.ts')).map((file) => `lib/${file}`)

export default () => files
