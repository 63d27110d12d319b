import { once } from 'node:events';
import {
  CertificateAuthorityServiceService,
  EnrollRequest,
} from '../../src/gen/sidekey/v1/certificate_authority.ts';
import { RawCall, RawConnection } from './raw-connection.ts';
import { makeRequests } from './simulated-hosts.ts';

/** Sends enrolments with tokens nobody signed until told to stop; then says what came of it. */
export interface FloodOrder {
  readonly address: string;
  /** A genuine one, of which all but the signature is kept. */
  readonly token: string;
  /** PEM, of a bundle. */
  readonly key: string;
  readonly chain: string;
  readonly perSecond: number;
}

export interface FloodReport {
  readonly offeredPerSecond: number;
  /** Those for which a stream was free. */
  readonly sentPerSecond: number;
  readonly answeredPerSecond: number;
  /** Connections that the authority closed. */
  readonly cut: number;
}

/** With 64 streams each there is room for twenty thousand calls at once, each second if it is answered within one. */
const CONNECTIONS = 320;
const SOURCES = 4;
const OPENING = 8;

const [{ address, token, key, chain, perSecond }] = (await once(process, 'message')) as [
  FloodOrder,
];
const call = new RawCall(CertificateAuthorityServiceService.enroll.path, forgedEnrolment(token));
// Who asked is gone.
process.once('disconnect', () => process.exit());
const connections: RawConnection[] = [];
let ended = { answered: 0, cut: 0 };
let stopped = false;

await open();
process.send?.('running');
const began = performance.now();
let offered = 0;
let sent = 0;
let turn = 0;
// At its own pace, whatever is answered: what finds no stream is not sent later.
const timer = setInterval(() => {
  const due = ((performance.now() - began) / 1000) * perSecond;
  for (; offered < due; offered += 1) {
    const connection = nextWithRoom();
    if (connection === undefined) continue;
    connection.send(call);
    sent += 1;
  }
}, 5);
await once(process, 'message');
stopped = true;
clearInterval(timer);
const seconds = (performance.now() - began) / 1000;
const answered = connections.reduce((sum, each) => sum + each.answered, ended.answered);
process.send?.({
  offeredPerSecond: offered / seconds,
  sentPerSecond: sent / seconds,
  answeredPerSecond: answered / seconds,
  cut: ended.cut,
} satisfies FloodReport);

/** Some at a time: what is measured is not how many handshakes this process can do. */
async function open(): Promise<void> {
  while (connections.length < CONNECTIONS) {
    while (connections.length < CONNECTIONS && openingNow() < OPENING) connect();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  while (openingNow() > 0) await new Promise((resolve) => setTimeout(resolve, 5));
}

function connect(): void {
  const from = `127.0.1.${String(1 + (connections.length % SOURCES))}`;
  const connection = new RawConnection({ address, from, key, chain }, () => {
    connections.splice(connections.indexOf(connection), 1);
    ended = { answered: ended.answered + connection.answered, cut: ended.cut + 1 };
    if (!stopped && openingNow() < OPENING) connect();
  });
  connections.push(connection);
}

function openingNow(): number {
  return connections.filter(({ opening }) => opening).length;
}

function nextWithRoom(): RawConnection | undefined {
  const end = turn + connections.length;
  while (turn < end) {
    const connection = connections[(turn += 1) % connections.length];
    if (connection?.hasRoom(call) === true) return connection;
  }
  return undefined;
}

/** The signature is what follows the last dot; this one is of the right length and wrong. */
function forgedEnrolment(genuine: string): Uint8Array {
  const at = genuine.lastIndexOf('.') + 1;
  const wrong = Buffer.from(genuine.slice(at), 'base64url').fill(7).toString('base64url');
  const { requests } = makeRequests();
  return EnrollRequest.encode(
    EnrollRequest.fromPartial({
      token: genuine.slice(0, at) + wrong,
      tlsRequest: requests.tls,
      decryptionRequest: requests.decryption,
    }),
  ).finish();
}
