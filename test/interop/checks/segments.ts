import type { Outcome } from '../cell.ts';
import { Daemon } from '../processes.ts';
import { driveClient, driveServer } from '../matrix.ts';
import type { Pair } from '../matrix.ts';
import { startNodeServer } from '../node-tls.ts';
import { pagePath } from '../peer.ts';
import type { PeerClient, PeerServer, Row } from '../peer.ts';
import { node } from '../peers/node.ts';
import { Browser, chromium } from '../peers/chromium.ts';
import { openssl } from '../peers/openssl.ts';
import { startRelay } from '../relay.ts';
import type { Route } from '../relay.ts';
import { failed, passed } from './check.ts';
import type { Bench, Check } from './check.ts';
import { freePort } from '../../support/free-port.ts';

const row: Row = { key: 'ecdsa', clientCertificate: true };
const plainRow: Row = { key: 'ecdsa', clientCertificate: false };
const unchanged: Route = { toServer: 'unchanged', toClient: 'unchanged' };
const bytewise: Route = { toServer: 'bytewise', toClient: 'bytewise' };

/** Handshakes whose bytes come in other pieces than they were sent in. */
export const segmentChecks: readonly Check[] = [openssl, node].flatMap((peer) => {
  const { name, server, client } = peer;
  if (server === undefined || client === undefined) return [];
  return [
    check('one byte at a time', `${name} server, full and resumed`, async (bench) =>
      both(await driveServer(bench, relayed(server, bytewise), row, `bytes-${label(name)}`)),
    ),
    check('one byte at a time', `${name} client, full and resumed`, (bench) =>
      throughRelay(bench, client, [bytewise]),
    ),
    check('application data in the segment of the Finished', `${name} server, full`, (bench) =>
      greeted(bench, name === node.name ? startNodeGreeter : startOpensslGreeter),
    ),
    check('application data in the segment of the Finished', `${name} client, resumed`, (bench) =>
      throughRelay(bench, client, [unchanged, { toServer: 'merged', toClient: 'unchanged' }]),
    ),
  ];
});

/** RFC 7918: the client's first data follows its own Finished, before it has seen ours. */
export const falseStartCheck: Check = check(
  'application data in the segment of the Finished',
  'Chromium client, full, False Start',
  async (bench) => {
    const probed = await chromium.probe();
    if ('missing' in probed) return { status: 'skipped', why: probed.missing };
    // It makes a False Start only where ALPN was negotiated.
    const server = await bench.server(plainRow, { alpn: ['http/1.1'] });
    const relay = await startRelay(server.port, [{ toServer: 'merged', toClient: 'unchanged' }]);
    const browser = await Browser.start(bench.fixture, plainRow, 'false-start');
    try {
      const host = `false-start.interop.test:${String(relay.port)}`;
      const { page } = await browser.load(`https://${host}${pagePath}`);
      if (server.readPage(page).resumed !== false) return failed('the session was resumed');
      return relay.mergedWrites === 1 ? passed : failed('Chromium made no False Start');
    } finally {
      await browser.stop();
      await relay.stop();
    }
  },
);

function check(heading: string, name: string, run: Check['run']): Check {
  return { heading, name, needs: name.startsWith(openssl.name) ? ['openssl'] : [], run };
}

/** The peer serves behind a relay. */
function relayed(server: PeerServer, route: Route): PeerServer {
  return {
    ...server,
    start: async (startRow, fixture) => {
      const started = await server.start(startRow, fixture);
      const relay = await startRelay(started.port, [route]);
      return {
        ...started,
        port: relay.port,
        stop: async () => {
          await relay.stop();
          await started.stop();
        },
      };
    },
  };
}

/** The peer connects to us through a relay, twice. */
async function throughRelay(
  bench: Bench,
  client: PeerClient,
  routes: readonly [Route, ...Route[]],
): Promise<Outcome> {
  const server = await bench.server(row);
  const relay = await startRelay(server.port, routes);
  const behindRelay: Bench = {
    ...bench,
    server: () => Promise.resolve({ ...server, port: relay.port }),
  };
  const merges = routes.filter(({ toServer }) => toServer === 'merged').length;
  try {
    const outcome = both(await driveClient(behindRelay, client, row, 'relay.interop.test'));
    if (outcome.status === 'passed' && relay.mergedWrites !== merges) {
      return failed(
        `the relay joined ${String(relay.mergedWrites)} segments, not ${String(merges)}`,
      );
    }
    return outcome;
  } finally {
    await relay.stop();
  }
}

/** The peer serves and speaks first; its greeting reaches us together with its Finished. */
async function greeted(bench: Bench, start: typeof startNodeGreeter): Promise<Outcome> {
  const server = await start(bench);
  const relay = await startRelay(server.port, [{ toServer: 'unchanged', toClient: 'merged' }]);
  try {
    const { answer } = await bench.ours.connect(plainRow, {
      port: relay.port,
      serverName: 'greeting.interop.test',
      request: new Uint8Array(),
      answerEnd: new RegExp(greeting),
    });
    const text = answer.toString('latin1');
    if (text !== greeting) return failed(`the greeting came as ${text}`);
    return relay.mergedWrites === 1 ? passed : failed('the relay joined no segments');
  } finally {
    await relay.stop();
    await server.stop();
  }
}

function startNodeGreeter({ fixture }: Bench): Promise<{ port: number; stop(): Promise<void> }> {
  return startNodeServer({
    fixture,
    identity: fixture.server.ecdsa,
    clientCertificate: false,
    options: { maxVersion: 'TLSv1.2' },
    greeting,
  });
}

async function startOpensslGreeter({
  fixture,
}: Bench): Promise<{ port: number; stop(): Promise<void> }> {
  const { certificateFile, privateKeyFile } = fixture.server.ecdsa;
  const port = await freePort();
  // What it reads from stdin goes to the client as soon as there is one.
  const daemon = await Daemon.printing(
    /^ACCEPT/m,
    'openssl',
    [
      ...['s_server', '-accept', `127.0.0.1:${String(port)}`, '-tls1_2'],
      ...['-cert', certificateFile, '-cert_chain', certificateFile, '-key', privateKeyFile],
    ],
    { input: greeting, keepInputOpen: true },
  );
  return { port, stop: () => daemon.stop() };
}

function both({ full, resumed }: Pair): Outcome {
  return full.status === 'passed' ? resumed : full;
}

function label(name: string): string {
  return `${name.toLowerCase().replaceAll(/[^a-z]/g, '')}.interop.test`;
}

const greeting = '220 the server speaks first\n';
