/** Status and body of an HTTP/1.1 response that ended with its connection. Other bytes are all body. */
export function readAnswer (bytes: Buffer): { status: number | undefined, body: string } {
  const end = bytes.indexOf('\r\n\r\n')
  const head = bytes.toString('latin1', 0, Math.max(end, 0))
  const status = /^HTTP\/1\.1 (\d{3})/.exec(head)?.[1]
  if (status === undefined) return { status: undefined, body: bytes.toString() }
  const content = bytes.subarray(end + 4)
  const chunked = /^transfer-encoding: *chunked$/im.test(head)
  return { status: Number(status), body: (chunked ? dechunk(content) : content).toString() }
}

function dechunk (content: Buffer): Buffer {
  const parts: Buffer[] = []
  for (let rest = content; ;) {
    const lineEnd = rest.indexOf('\r\n')
    const length = Number.parseInt(rest.toString('latin1', 0, lineEnd), 16)
    if (lineEnd === -1 || Number.isNaN(length)) throw new Error('the answer is cut short')
    if (length === 0) return Buffer.concat(parts)
    parts.push(rest.subarray(lineEnd + 2, lineEnd + 2 + length))
    rest = rest.subarray(lineEnd + 4 + length)
  }
}
