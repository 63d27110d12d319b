import { randomBytes } from 'node:crypto';
import { styled } from '../terminal.ts';
import { contentDigest, pieceBytes } from './applications/content.ts';
import { counted, downloaded, greeted, loaded, refused } from './applications/messages.ts';
import { keyPatterns } from './key-patterns.ts';
import { searchMemory } from './memory-search.ts';
import { ask, type DemoProcess, waitForEnd, waitForOutput } from './processes.ts';
import type { Stage } from './stage.ts';
import type { StockPeer } from './stock/stock-peer.ts';
import { check } from './story.ts';

/** One request between the applications, its handshake told message by message. */
export async function showHandshake(stage: Stage): Promise<void> {
  const { story, tap } = stage;
  const seen: string[] = [];
  tap.onMessage = ({ from, name }) => {
    if (name === 'application data') return;
    seen.push(name);
    const arrow = from === 'client' ? 'client ──▶        ' : '       ◀── server ';
    story.say(`${styled('cyan', arrow)} ${name}`);
  };
  const answer = greeted.parse(await ask(stage.clientApplication, { do: 'greet', port: tap.port }));
  tap.onMessage = () => undefined;
  for (const name of ['ClientHello', 'ServerHello', 'CertificateRequest', 'CertificateVerify']) {
    check(seen.includes(name), `no ${name} was seen on the wire`);
  }
  story.fact('negotiated', `${answer.version}, ${answer.suite}, ${answer.group ?? 'no group'}`);
  story.fact('ALPN', answer.alpn ?? 'none');
  const [, duration = ''] = await waitForOutput(
    stage.sidecars[1],
    new RegExp(`"handshake":"${answer.handshakeId}".*"durationMs":(\\d+)`),
  );
  story.fact('in the log of till', `handshake ${answer.handshakeId}, completed in ${duration} ms`);
  story.fact('client sees', answer.peerIdentity ?? 'nobody');
  story.fact('server sees', answer.seenByServer);
  check(answer.version === 'TLSv1.2', 'the version is not TLS 1.2');
  check(answer.peerIdentity === stage.shop.spiffeId, 'the client sees another server');
  check(answer.seenByServer === stage.till.spiffeId, 'the server sees another client');
  stage.story.proves('both sides proved who they are, with keys neither application has');
}

/** Ordinary load through Node's own HTTPS client and server. */
export async function serveRequests(stage: Stage): Promise<void> {
  const wanted = 200;
  const before = counted.parse(await ask(stage.serverApplication, { do: 'count' }));
  const answer = loaded.parse(
    await ask(stage.clientApplication, {
      do: 'load',
      port: stage.tap.port,
      requests: wanted,
    }),
  );
  const after = counted.parse(await ask(stage.serverApplication, { do: 'count' }));
  const served = after.requests - before.requests;
  stage.story.fact('requests', `${String(served)} served, ${String(answer.answered)} answered 200`);
  stage.story.fact('connections', `${String(answer.connections)}, kept alive`);
  check(served === wanted && answer.answered === wanted, `not all ${String(wanted)} were answered`);
  stage.story.proves(
    `${String(served)} HTTPS requests over ${String(answer.connections)} connections`,
  );
}

/**
 * Looks for both private keys in the memory of both applications. That such a search can find
 * something is shown twice: it finds bytes planted in each application, and each sidecar's own key
 * in that sidecar.
 */
export async function searchApplications(stage: Stage): Promise<void> {
  const shopKey = keyPatterns('key of shop', stage.shop.identity.privateKey);
  const tillKey = keyPatterns('key of till', stage.till.identity.privateKey);
  const patterns = [...shopKey, ...tillKey];
  const hits: string[] = [];
  for (const application of [stage.serverApplication, stage.clientApplication]) {
    const planted = randomBytes(32);
    await ask(application, { do: 'keep', bytes: planted.toString('base64') });
    const result = searchMemory(application.pid, [
      ...patterns,
      { name: 'planted bytes', bytes: planted },
    ]);
    const keysFound = result.found.filter((name) => name !== 'planted bytes');
    const count = `${String(keysFound.length)} of ${String(patterns.length)}`;
    const { story } = stage;
    story.fact(application.name, `${mebibytes(result.searchedBytes)}, standing still meanwhile`);
    story.fact('', `key bytes found in application memory: ${count} searched`);
    check(
      result.found.includes('planted bytes'),
      'the search missed bytes planted in the application',
    );
    check(result.unreadableBytes === 0, 'a part of the memory could not be read');
    story.fact('', 'bytes planted in it for comparison: found');
    hits.push(...keysFound);
  }
  searchSidecar(stage, stage.sidecars[0], shopKey);
  searchSidecar(stage, stage.sidecars[1], tillKey);
  check(hits.length === 0, `found in an application: ${hits.join(', ')}`);
  stage.story.proves(
    `key bytes found in application memory: 0 of ${String(patterns.length)} searched`,
  );
}

function searchSidecar(
  stage: Stage,
  sidecar: DemoProcess,
  patterns: ReturnType<typeof keyPatterns>,
): void {
  const result = searchMemory(sidecar.pid, patterns);
  stage.story.fact(sidecar.name, `by the same search: ${result.found.join('; ') || 'nothing'}`);
  check(result.found.length > 0, 'the search does not even find the key where it is');
}

/** A TLS client that knows nothing of us. */
export async function serveStockClient(stage: Stage, peer: StockPeer): Promise<void> {
  const client = peer.startClient(stage.serverPort);
  await waitForEnd(client);
  const output = client.output();
  tellTranscript(stage, output);
  check(reports(output, 'Protocol', 'TLSv1.2'), `${peer.clientName} reports no TLS 1.2`);
  check(
    reports(output, 'Verify return code', '0 (ok)'),
    `${peer.clientName} did not accept our certificate`,
  );
  check(
    output.includes(stage.strangerId),
    'our server did not see the identity of the stock client',
  );
  stage.story.fact('our server sees', stage.strangerId);
  stage.story.proves(`${peer.clientName} → our server application`);
}

/** A TLS server that knows nothing of us. */
export async function visitStockServer(stage: Stage, peer: StockPeer): Promise<void> {
  const server = peer.startServer();
  const [, port = ''] = await waitForOutput(server, peer.listening);
  const client = stage.processes.startSidekey('sidekey connect', [
    ...['connect', `127.0.0.1:${port}`, '--sidecar', stage.till.sidecarAddress],
    ...['--servername', 'localhost', '--show'],
  ]);
  client.child.stdin?.end('GET / HTTP/1.0\r\n\r\n');
  const code = await waitForEnd(client);
  const output = client.output();
  tellTranscript(stage, output);
  check(code === 0, `sidekey connect ended with ${String(code)}: ${client.lastOutput()}`);
  check(reports(output, 'Protocol', 'TLSv1.2'), `${peer.serverName} reports no TLS 1.2`);
  check(
    reports(output, 'Verify return code', '0 (ok)'),
    `${peer.serverName} did not accept our certificate`,
  );
  await stage.processes.kill(server);
  stage.story.proves(`our client → ${peer.serverName}`);
}

/** The lines of a stock program's report that tell what it has seen. */
function tellTranscript(stage: Stage, output: string): void {
  for (const label of ['Protocol', 'Cipher', 'Verify return code']) {
    const value = reported(output, label);
    if (value !== undefined) stage.story.fact('it reports', `${label}: ${value}`);
  }
}

function reports(output: string, label: string, value: string): boolean {
  return reported(output, label) === value;
}

/** The value in a line `    Label  : value`. */
function reported(output: string, label: string): string | undefined {
  return new RegExp(`^ *${label} *: (.*)$`, 'm').exec(output)?.[1];
}

/** Both sidecars die while bytes flow; the bytes go on flowing. */
export async function killSidecars(stage: Stage): Promise<void> {
  const { story, tap } = stage;
  const pieces = 256;
  const total = pieces * pieceBytes;
  const underway = tap.passed(total / 4);
  const started = tap.bytesFromServer;
  const transfer = ask(stage.clientApplication, { do: 'download', port: tap.port, pieces });
  await Promise.race([underway, transfer]);
  await Promise.all(stage.sidecars.map((sidecar) => stage.processes.kill(sidecar)));
  const atDeath = tap.bytesFromServer - started;
  story.fact(
    'SIGKILL',
    `both sidecars are gone after ${mebibytes(atDeath)} of ${mebibytes(total)}`,
  );
  check(atDeath < total, 'the transfer was over before the sidecars were');
  const answer = downloaded.parse(await transfer);
  const intact = answer.bytes === total && answer.sha256 === contentDigest(pieces);
  story.fact(
    'the transfer',
    `${mebibytes(answer.bytes)} arrived, ${intact ? 'every byte as sent' : 'damaged'}`,
  );
  check(intact, 'what arrived is not what was sent');
  const { code } = refused.parse(
    await ask(stage.clientApplication, { do: 'refused', port: tap.port }),
  );
  story.fact('a new connection', `refused with ${code}: nothing goes around the sidecar`);
  check(code === 'ERR_OFFLOAD_UNAVAILABLE', 'a new connection failed otherwise than it should');
  stage.story.proves(
    'sidecars killed in mid-transfer: the transfer finished, new connections are refused',
  );
}

function mebibytes(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}
