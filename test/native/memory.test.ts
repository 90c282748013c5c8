import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { importPublic, seal } from '../../lib/cluster-ipc/sealed-box.js'
import { addon } from '../../lib/native/binding.js'
import { openWithKey, sealWithKey } from '../../lib/native/secret-memory.js'
import { PROTOCOLS, REASONS } from '../../lib/native/types.js'
import { runModule } from '../helpers/process.js'

t.test("the addon's names of protocols and reasons are those of the types", async (t) => {
  const { protocols, reasons } = addon()
  t.same(protocols, PROTOCOLS)
  t.same(reasons, REASONS)
})

t.test('what is sealed opens with the same key, IV and data only', async (t) => {
  const sealing = { key: randomBytes(32), iv: randomBytes(12), associated: Buffer.from('revision') }
  const plain = randomBytes(100)
  const sealed = sealWithKey(sealing, plain)
  t.equal(sealed.length, 116)
  t.same(openWithKey(sealing, sealed), plain)
  t.equal(openWithKey(sealing, sealWithKey(sealing, Buffer.alloc(0))).length, 0)
  const flipped = Buffer.from(sealed)
  flipped[50] = flipped.readUInt8(50) ^ 1
  for (const [name, changed, bytes] of [
    ['another key', { ...sealing, key: randomBytes(32) }, sealed],
    ['another IV', { ...sealing, iv: randomBytes(12) }, sealed],
    ['other data', { ...sealing, associated: Buffer.from('another') }, sealed],
    ['a flipped bit', sealing, flipped],
    ['too short', sealing, sealed.subarray(0, 10)],
    ['a short key', { ...sealing, key: randomBytes(16) }, sealed]
  ] as const) t.throws(() => openWithKey(changed, bytes), { message: 'the sealed keys were changed' }, name)
  t.throws(() => sealWithKey({ ...sealing, iv: randomBytes(16) }, plain), { message: 'OpenSSL refused AES-256-GCM' })
})

t.test('a worker that opens sealed keys leaves no copy of them in its memory', async (t) => {
  // The worker gets inverted keys and inverts its memory to compare, so that the search adds no copy of the keys.
  const worker = runModule(`
    import { closeSync, openSync, readFileSync, readSync } from 'node:fs'
    import { once } from 'node:events'
    import { exportPublic, makeKeyPair, open } from '../../lib/cluster-ipc/sealed-box.js'
    import { erase } from '../../lib/native/secret-memory.js'

    function copies (inverted) {
      const memory = openSync('/proc/self/mem', 'r')
      const chunk = Buffer.alloc(1 << 20)
      let found = 0
      for (const line of readFileSync('/proc/self/maps', 'latin1').split('\\n')) {
        const [, from, to] = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line) ?? []
        if (from === undefined) continue
        for (let at = parseInt(from, 16); at < parseInt(to, 16); at += chunk.length - inverted.length) {
          let length = 0
          try {
            length = readSync(memory, chunk, 0, Math.min(chunk.length, parseInt(to, 16) - at), at)
          } catch {
            continue
          }
          for (let i = 0; i < length; i++) chunk[i] ^= 0xff
          if (chunk.subarray(0, length).includes(inverted)) found++
          // The search also reads its own memory: inverted twice, a found key would look like another copy.
          chunk.fill(0)
        }
      }
      closeSync(memory)
      return found
    }

    const { publicKey, privateKey } = makeKeyPair()
    process.send(exportPublic(publicKey).toString('base64'))
    const [{ sealed, inverted }] = await once(process, 'message')
    const needle = Buffer.from(inverted, 'base64')
    const plain = open(Buffer.from(sealed, 'base64'), privateKey, 'bound')
    const open1 = copies(needle)
    erase(plain)
    process.send({ open: open1, erased: copies(needle) })
  `)
  t.teardown(worker.stop)
  const publicKey = importPublic(Buffer.from(await worker.next() as string, 'base64'))
  const plain = randomBytes(3000)
  worker.send({
    sealed: seal(plain, publicKey, 'bound').toString('base64'),
    inverted: Buffer.from(plain.subarray(1000, 1064).map((byte) => byte ^ 0xff)).toString('base64')
  })
  const { open, erased } = await worker.next() as { open: number, erased: number }
  t.ok(open >= 1, 'the search finds the keys while they are there')
  t.equal(erased, 0)
})

t.test('a rotation for which the system has no memory is an error of the load, and the old keys go on', async (t) => {
  const directory = t.testdir()
  const [source, library, flag] = [join(directory, 'no-memory.c'), join(directory, 'no-memory.so'), join(directory, 'flag')]
  writeFileSync(source, `
    #define _GNU_SOURCE
    #include <dlfcn.h>
    #include <errno.h>
    #include <stdlib.h>
    #include <string.h>
    #include <sys/mman.h>
    #include <sys/syscall.h>
    #include <unistd.h>

    void *mmap(void *address, size_t length, int protection, int flags, int file, off_t offset) {
      Dl_info caller;
      const char *flag = getenv("NO_MEMORY");
      if (file == -1 && flag != NULL && access(flag, F_OK) == 0 && dladdr(__builtin_return_address(0), &caller) != 0 &&
          caller.dli_fname != NULL && strstr(caller.dli_fname, "ticket_keys") != NULL) {
        errno = ENOMEM;
        return MAP_FAILED;
      }
      return (void *)syscall(SYS_mmap, address, length, protection, flags, file, offset);
    }
  `)
  execFileSync('cc', ['-shared', '-fPIC', '-o', library, source, '-ldl'])
  const program = runModule(`
    import { rmSync, writeFileSync } from 'node:fs'
    import { createServer } from 'node:https'
    import { setTimeout as sleep } from 'node:timers/promises'
    import { createTicketKeys } from '../../lib/index.js'
    import { allocateSecret } from '../../lib/native/secret-memory.js'
    import { serverCert } from '../helpers/certs.js'
    import { connect } from '../helpers/connect.js'
    import { randomKey } from '../helpers/keys.js'
    import { listen } from '../helpers/server.js'

    const flag = process.env.NO_MEMORY
    const lasting = { notBefore: 0, issueUntil: Infinity, acceptUntil: Infinity }
    const codeOf = async (work) => { try { await work(); return null } catch (error) { return error.code ?? error.message } }
    let answer = () => ({ keys: [randomKey(lasting)], timed: true })
    const keys = await createTicketKeys({ environment: false, source: { type: 'script', load: () => answer() } })
    const short = { notBefore: -Infinity, issueUntil: -Infinity, acceptUntil: Date.now() + 1000 }
    answer = () => ({ keys: [randomKey(lasting), randomKey(short)], timed: true })
    await keys.reload()
    const { key, cert } = await serverCert()
    const server = createServer({ key, cert }, (_request, response) => { response.end('answer') })
    keys.attach(server)
    const port = await listen(server)
    const { session } = await connect({ port, protocol: 'TLSv1.3' })
    const before = keys.status().current
    writeFileSync(flag, '')
    const results = { allocate: await codeOf(() => allocateSecret(10)), reload: await codeOf(() => keys.reload()) }
    const status = keys.status()
    const { reused } = await connect({ port, protocol: 'TLSv1.3', session })
    // A key expires, and there is no memory for the smaller ring.
    await sleep(Math.max(0, short.acceptUntil - Date.now()) + 10)
    keys.tick()
    const left = keys.status().keys.length
    rmSync(flag)
    answer = () => ({ keys: [randomKey(lasting)], timed: true })
    const after = await codeOf(() => keys.reload())
    writeFileSync(flag, '')
    const closed = await codeOf(() => keys.close())
    rmSync(flag)
    // The source that makes its own keys makes new ones after a failure.
    const memory = await createTicketKeys({ environment: false })
    const first = memory.status().current
    writeFileSync(flag, '')
    const rotation = await codeOf(() => memory.rotate())
    const kept = memory.status().current === first
    rmSync(flag)
    const again = await codeOf(() => memory.rotate())
    const rotated = memory.status().current !== first
    await memory.close()
    process.send({ results, same: status.current === before, lastErrorCode: status.lastErrorCode, reused,
      left, after, closed, rotation, kept, again, rotated })
    server.close()
  `, { env: { LD_PRELOAD: library, NO_MEMORY: flag } })
  t.teardown(program.stop)
  t.same(await program.next(), {
    results: { allocate: 'the system has no memory for ticket keys', reload: 'FST_TICKET_KEYS_SOURCE' },
    same: true,
    lastErrorCode: 'FST_TICKET_KEYS_SOURCE',
    reused: true,
    left: 1,
    after: null,
    closed: null,
    rotation: 'FST_TICKET_KEYS_SOURCE',
    kept: true,
    again: null,
    rotated: true
  })
})
