import { randomBytes } from 'node:crypto'
import t from 'tap'
import { Clock } from '../../lib/util/clock.js'
import { makeCa } from '../helpers/certs.js'
import { PROTOCOLS } from '../helpers/client.js'
import { manage } from '../helpers/managed.js'
import { mutualServer, visit } from '../helpers/mutual.js'
import { closeAll } from '../helpers/server.js'

t.teardown(closeAll)

const MINUTE = 60_000
const ca = await makeCa('CA')
const alice = await ca.issue({ name: 'alice', client: true })

for (const protocol of PROTOCOLS) {
  for (const requestCert of [false, true]) {
    const which = requestCert ? 'with a client certificate' : 'without client certificates'
    t.test(`${protocol}, ${which}: a session of a host whose clock is far ahead is refused as session_expired`, async (t) => {
      const options = { source: { type: 'static' as const, keys: [randomBytes(80)] }, rotationInterval: '10m' }
      const clock = new Clock()
      const ahead = await manage(t, options, clock)
      const here = await manage(t, options)
      const [made, shown] = [await mutualServer({ requestCert, ca: ca.cert }), await mutualServer({ requestCert, ca: ca.cert })]
      ahead.keys.attach(made.server)
      here.keys.attach(shown.server)
      const client = { protocol, ...(requestCert ? alice : {}) }
      // The larger of 5 minutes and rotationInterval is allowed.
      const steps: Array<[string, number, boolean]> = [['9 minutes', 9, true], ['11 minutes', 11, false], ['a year', 365 * 24 * 60, false]]
      for (const [name, minutes, resumes] of steps) {
        clock.step(minutes * MINUTE)
        const { session } = await visit({ port: made.port, ...client })
        t.match(await visit({ port: made.port, ...client, session }), { outcome: { reused: true } }, `${name}: at that host`)
        t.match(await visit({ port: shown.port, ...client, session }), { outcome: { reused: resumes } }, `${name}: at this host`)
        clock.step(-minutes * MINUTE)
      }
      const { rejected, resumed } = here.keys.stats()
      t.same([rejected[protocol].session_expired, resumed[protocol]], [2, 1])
    })
  }
}
