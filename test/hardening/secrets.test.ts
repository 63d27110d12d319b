import { expect } from 'chai';
import { type ChildProcess, spawn } from 'node:child_process';
import { createPrivateKey } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { searchMemory, searchObstacle } from '../../src/cli/demo/memory-search.ts';
import { generateKeyPair } from '../../src/crypto/key-generation.ts';
import { connectWire, type WireClient, type WireMessage } from '../sidecar/model-callers/wire.ts';
import { createTestCa, writeIdentity } from '../support/test-ca.ts';
import { typescriptOptions } from '../support/typescript.ts';
import { skip } from '../support/skip.ts';

/** Bytes that must not be anywhere, under the name they are reported by. */
interface Secret {
  readonly name: string;
  readonly bytes: Buffer;
}

const token = 'canary-token-3f9ae21c77d04b58';
const wrongToken = 'canary-wrong-88e1b0c2f6a94d13';

describe('secrets of a sidecar that made handshakes, and failed some', function () {
  // A process is started from source, and its whole memory written out.
  this.timeout(120_000);
  let directory: string;
  let child: ChildProcess;
  let wire: WireClient;
  let admin: string;
  let keys: readonly Secret[];
  let keyFile: Buffer;
  const sessionKeys: Secret[] = [];
  const told: string[] = [];
  const tokens = [token, wrongToken].map((text) => ({ name: text, bytes: Buffer.from(text) }));

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'sidekey-secrets-'));
    const ca = createTestCa();
    const keyPair = generateKeyPair('ecdsa-p256');
    const names = { dnsNames: ['web.example.org'], uris: ['spiffe://example.org/web'] };
    writeIdentity(directory, 'web', ca.issue({ ...names, keyPair }));
    writeFileSync(join(directory, 'roots.pem'), ca.pem);
    writeFileSync(join(directory, 'token'), `${token}\n`, { mode: 0o600 });
    writeFileSync(
      join(directory, 'sidecar.yaml'),
      'listen: [{ address: "unix:./s", allow: [{ tokenFile: ./token, identities: [web] }] }]\n' +
        'identities: { web: { certificate: web.pem, privateKey: web.key, default: true } }\n' +
        'trust: { bundle: roots.pem }\nadmin: { address: "127.0.0.1:0" }\nlog: { level: trace }\n',
    );
    keyFile = readFileSync(join(directory, 'web.key'));
    // ECPrivateKey (RFC 5915 §3): SEQUENCE, version 1, OCTET STRING of 32 bytes.
    const sec1 = createPrivateKey(keyFile).export({ format: 'der', type: 'sec1' });
    keys = [{ name: 'private key', bytes: Buffer.from(sec1.subarray(7, 39)) }];
    child = spawn(process.execPath, [...typescriptOptions, program, directory], {
      env: { PATH: process.env['PATH'] },
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    const [started] = (await once(child, 'message')) as [{ address: string; admin: string }];
    admin = started.admin;
    wire = connectWire(started.address);
    for (let count = 0; count < 4; count += 1) {
      for (const result of await shakeHands(`web.example.org`)) sessionKeys.push(...keysOf(result));
    }
    await fail();
    const observed = once(child, 'message');
    child.send({ observe: true });
    await observed;
  });

  after(() => {
    wire.close();
    child.kill('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  });

  /** A handshake of the sidecar with itself; the results of both sides. */
  async function shakeHands(targetName: string): Promise<readonly WireMessage[]> {
    const client = wire.open();
    const server = wire.open();
    const auth_mechanisms = [{ token }];
    client.send({ client_start: { target_name: targetName }, auth_mechanisms });
    const results: WireMessage[] = [];
    let fromClient = await client.receive();
    server.send({ server_start: { in_bytes: fromClient!['out_frames'] }, auth_mechanisms });
    for (let rounds = 0; rounds < 4 && results.length < 2; rounds += 1) {
      const fromServer = await server.receive();
      if (fromServer === undefined) throw new Error(JSON.stringify(await server.status()));
      if (isPresent(fromServer['result'])) results.push(fromServer['result']);
      // Of a resumed session the client is done first.
      if (results.length === 2) break;
      client.send({ next: { in_bytes: fromServer['out_frames'] } });
      fromClient = await client.receive();
      if (isPresent(fromClient!['result'])) results.push(fromClient!['result']);
      if (results.length < 2) server.send({ next: { in_bytes: fromClient!['out_frames'] } });
    }
    expect(results).to.have.length(2);
    client.end();
    server.end();
    return results;
  }

  /** Everything a caller can do wrong with a secret at hand. */
  async function fail(): Promise<void> {
    const good = [{ token }];
    for (const messages of [
      [{ client_start: {}, auth_mechanisms: [{ token: wrongToken }] }],
      [{ client_start: { target_name: token }, auth_mechanisms: good }, { next: {} }],
      [{ client_start: {}, auth_mechanisms: good }, { next: { in_bytes: Buffer.from(token) } }],
      [{ server_start: { in_bytes: Buffer.from(token) }, auth_mechanisms: good }],
      [{ server_start: { local_identities: [{ spiffe_id: token }] }, auth_mechanisms: good }],
      [{ next: { in_bytes: Buffer.from(token) }, auth_mechanisms: good }],
    ]) {
      const stream = wire.open();
      for (const message of messages) stream.send(message);
      stream.end();
      told.push(JSON.stringify(await stream.receive()), JSON.stringify(await stream.status()));
    }
  }

  function keysOf({ state }: WireMessage): readonly Secret[] {
    return ['in_key', 'out_key'].map((name) => ({ name, bytes: Buffer.from(state[name]) }));
  }

  /** A place in which secrets are looked for in every way in which programs print bytes. */
  function findIn(text: string, secrets: readonly Secret[]): readonly string[] {
    return secrets.flatMap(({ name, bytes }) =>
      waysToPrint(bytes)
        .filter((printed) => text.includes(printed))
        .map((printed) => `${name} as ${printed}`),
    );
  }

  it('are found by the search, if they are there', () => {
    const [key] = keys;
    for (const printed of waysToPrint(key!.bytes)) {
      expect(findIn(`before ${printed} after`, keys)).to.not.deep.equal([]);
    }
    expect(sessionKeys).to.have.length(16);
    expect(told).to.have.length(12);
  });

  it('are not in the log, at its most talkative', () => {
    const log = readFileSync(join(directory, 'log'), 'latin1');
    expect(log).to.contain('"level":20');
    expect(findIn(log, [...keys, ...sessionKeys])).to.deep.equal([]);
    expect(findIn(log, [tokens[1]!])).to.deep.equal([]);
  });

  it('are not in the metrics', async () => {
    const text = await (await fetch(`http://${admin}/metrics`)).text();
    expect(text).to.contain('sidekey_handshakes_total');
    expect(findIn(text, [...keys, ...sessionKeys, ...tokens])).to.deep.equal([]);
  });

  it('are not in what callers are told', () => {
    expect(findIn(told.join('\n'), [...keys, ...sessionKeys, tokens[1]!])).to.deep.equal([]);
  });

  it('are not in a diagnostic report', () => {
    const report = readFileSync(join(directory, 'report.json'), 'latin1');
    expect(report).to.contain('javascriptHeap');
    expect(findIn(report, [...keys, ...sessionKeys, ...tokens])).to.deep.equal([]);
  });

  it('are not in a heap snapshot', () => {
    const heap = readFileSync(join(directory, 'heap.heapsnapshot'), 'latin1');
    expect(heap).to.contain('"snapshot"').and.contain('web.example.org');
    expect(findIn(heap, [...keys, ...sessionKeys, ...tokens])).to.deep.equal([]);
    // Nor the key as its file has it, line by line.
    const lines = keyFile
      .toString('latin1')
      .split('\n')
      .filter((line) => /^[\w+/=]{32,}$/.test(line));
    expect(lines).to.not.deep.equal([]);
    for (const line of lines) expect(heap.includes(line)).to.equal(false);
  });

  it('in the form of the key file are nowhere in memory', function () {
    const obstacle = searchObstacle(child.pid!);
    if (obstacle !== undefined) {
      skip(this, obstacle);
    }
    const pem = keyFile.toString('latin1').split('\n')[2]!;
    const der = createPrivateKey(keyFile).export({ format: 'der', type: 'pkcs8' });
    const { found, unreadableBytes } = searchMemory(child.pid!, [
      { name: 'key file in PEM', bytes: Buffer.from(pem) },
      { name: 'key file in DER', bytes: der },
      { name: 'something that is there', bytes: Buffer.from('web.example.org') },
    ]);
    expect(found).to.deep.equal(['something that is there']);
    expect(unreadableBytes).to.equal(0);
  });
});

function waysToPrint(bytes: Buffer): readonly string[] {
  return [
    bytes.toString('latin1'),
    bytes.toString('hex'),
    bytes.toString('hex').toUpperCase(),
    bytes.toString('base64').replace(/[=]+$/, ''),
    bytes.toString('base64url'),
    [...bytes].join(','),
    [...bytes].join(', '),
    bytes.toString('hex').replaceAll(/(..)(?=.)/g, '$1 '),
    bytes.toString('hex').replaceAll(/(..)(?=.)/g, '$1:'),
  ];
}

const program = fileURLToPath(new URL('observed-sidecar.ts', import.meta.url));

/** Messages that are absent read as null or undefined. */
function isPresent(message: unknown): boolean {
  return typeof message === 'object' && message !== null;
}
