#!/usr/bin/env node
import { main } from './main.js'

const status = await main(process.argv.slice(2))
// Keep an exit code that a command has set itself, as `probe` does.
if (status !== 0) process.exitCode = status
