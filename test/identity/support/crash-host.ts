import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { pino } from 'pino';
import { createAuthorityDialler } from '../../../src/apps/in-process-tls/dial-authority.ts';
import { randomBytes } from '../../../src/crypto/random.ts';
import {
  type DialAuthority,
  EnrolledIdentity,
  type HostPoint,
} from '../../../src/identity/index.ts';

/*
 * A host of its own, for tests that kill it: enrols if given a bundle, renews if it is time, and ends
 * when that is done. Arguments: directory, socket of the authority or `tls` for a real one, milliseconds
 * its clock is ahead, the point to die at, bundle file.
 */
const [directory = '', socketPath = '', ahead = '0', point = '', bundlePath] =
  process.argv.slice(2);

const dialSocket: DialAuthority = () =>
  new Promise((resolve, reject) => {
    const socket = connect(socketPath);
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      resolve(socket);
    });
  });
const now = () => new Date(Date.now() + Number(ahead));
const identity = await EnrolledIdentity.open({
  name: 'host',
  directory,
  now,
  random: randomBytes,
  log: pino({ level: 'silent' }),
  version: '1.2.3',
  dial: socketPath === 'tls' ? createAuthorityDialler({ now: () => new Date() }) : dialSocket,
  reached: (reached: HostPoint) => {
    if (reached === point) process.kill(process.pid, 'SIGKILL');
  },
});
identity.start();
if (bundlePath !== undefined) await identity.enroll(readFileSync(bundlePath));
// Timers of an identity keep no process alive.
const alive = setInterval(() => {
  const { renewAt } = identity.status;
  if (renewAt === undefined || renewAt <= now()) return;
  clearInterval(alive);
  void identity.close();
}, 20);
