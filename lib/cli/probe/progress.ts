import type { Progress } from './report.js'

const REDRAW_INTERVAL = 100 // ms

/**
 * Counts connections against the planned number. A stage with fewer connections than planned counts as complete when
 * the next stage begins.
 */
export class Meter {
  readonly #total: number
  readonly #report: (progress: Progress) => void
  #before = 0
  #planned = 0
  #made = 0
  #step = ''

  constructor (total: number, report: (progress: Progress) => void) {
    this.#total = total
    this.#report = report
  }

  /** Begins a stage of at most `planned` connections. */
  stage (planned: number): void {
    this.#before += this.#planned
    this.#planned = planned
    this.#made = 0
  }

  /** Sets the description of the current test. */
  step (text: string): void {
    this.#step = text
  }

  /** Counts a connection that begins, and reports the progress. */
  connection (): void {
    this.#report({ done: this.#before + this.#made++, total: this.#total, step: this.#step })
  }
}

/** Where progress is written, such as `process.stderr`. */
export interface ProgressStream {
  isTTY?: boolean
  columns?: number
  write: (text: string) => unknown
}

/**
 * Prints progress: one redrawn line on a terminal, and one line per step elsewhere. Call `end` before
 * printing anything else.
 */
export function progressPrinter (stream: ProgressStream): { show: (progress: Progress) => void, end: () => void } {
  let drawn = -Infinity
  let step = ''
  const terminal = stream.isTTY === true
  return {
    show: (progress) => {
      const line = `${Math.floor(100 * progress.done / progress.total)} % of ${progress.total} connections: ${progress.step}`
      if (terminal) {
        if (performance.now() - drawn < REDRAW_INTERVAL) return
        drawn = performance.now()
        stream.write(`\r\x1b[K${line.slice(0, (stream.columns ?? 80) - 1)}`)
      } else if (progress.step !== step) {
        step = progress.step
        stream.write(`${line}\n`)
      }
    },
    end: () => { if (terminal && drawn > -Infinity) stream.write('\r\x1b[K') }
  }
}
