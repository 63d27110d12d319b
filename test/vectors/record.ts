import { mkdirSync, writeFileSync } from 'node:fs';
import { Duplex } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import tls from 'node:tls';
import type { KeyObject } from 'node:crypto';
import { equal } from '../../src/bytes/bytes.ts';
import { signSync } from '../../src/crypto/signatures.ts';
import { keyKindOf } from '../../src/crypto/keys.ts';
import type { Action, ClientSession, Handshake, HandshakeResult } from '../../src/tls/config.ts';
import { actionLines, writeFlightLog, type LoggedCall } from '../support/flight-log.ts';
import { createTestCa, type IssuedIdentity, type TestCa } from '../support/test-ca.ts';
import {
  exporters,
  flightFile,
  ourKey,
  ScenarioEngines,
  scenarios,
  type Scenario,
} from './scenarios.ts';

/**
 * Records all flights anew: `node --import ./test/support/typescript.mjs
 * test/vectors/record.ts [name ...]`. The peer is the OpenSSL inside Node. Keys and certificates are fresh each time and only their public halves and
 * what they signed are written down; a changed file is to be reviewed like code.
 */
async function main(names: readonly string[]): Promise<void> {
  mkdirSync(new URL('flights/', import.meta.url), { recursive: true });
  for (const scenario of scenarios) {
    if (names.length > 0 && !names.includes(scenario.name)) continue;
    writeFileSync(flightFile(scenario), await record(scenario));
    process.stdout.write(`recorded ${scenario.name}\n`);
  }
}

async function record(scenario: Scenario): Promise<string> {
  const ca = createTestCa();
  const server = ca.issue({ dnsNames: ['server.test'], keyKind: scenario.serverKey });
  const client =
    scenario.clientKey === undefined
      ? undefined
      : ca.issue({ dnsNames: ['client.test'], keyKind: scenario.clientKey });
  const [ours, theirs] = scenario.role === 'server' ? [server, client] : [client, server];
  const engines = new ScenarioEngines(scenario, ours?.chain ?? []);
  const peer = new Peer(scenario, ca, theirs);

  let session: ClientSession | undefined;
  const connections: { calls: readonly LoggedCall[] }[] = [];
  for (let count = 0; count < scenario.connections; count++) {
    const side = new RecordingSide(engines.next(session), ours?.privateKey, theirs?.publicKey);
    await peer.talk(side);
    const last = await side.ending;
    if (last.type === 'established') session = last.result.session;
    const expected = count === scenario.connections - 1 ? scenario.ends : 'established';
    if (last.type !== expected) {
      throw new Error(`${scenario.name}: ${actionLines([last]).join('\n')}`);
    }
    connections.push({ calls: side.calls });
  }
  if (ourKey(scenario) !== (ours && keyKindOf(ours.privateKey))) throw new Error('wrong key');
  return writeFlightLog({ credential: ours?.chain ?? [], connections });
}

type Ending = Extract<Action, { type: 'established' | 'failed' }>;

/** Our end of a connection: drives the engine and writes down every call. */
class RecordingSide extends Duplex {
  readonly calls: LoggedCall[] = [];
  ended: Ending | undefined;
  readonly ending: Promise<Ending>;
  #resolve: (ending: Ending) => void = () => undefined;
  readonly #engine: Handshake;
  readonly #privateKey: KeyObject | undefined;
  readonly #peerPublicKey: KeyObject | undefined;

  constructor(engine: Handshake, privateKey: KeyObject | undefined, peer: KeyObject | undefined) {
    super();
    this.#engine = engine;
    this.#privateKey = privateKey;
    this.#peerPublicKey = peer;
    this.ending = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  start(): void {
    this.#log('start', new Uint8Array(0), this.#engine.start());
  }

  override _read(): void {
    // Bytes are pushed when the engine has some.
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    // What comes after the end is application data.
    if (this.ended === undefined) this.#log('receive', chunk, this.#engine.receive(chunk));
    done();
  }

  #log(method: LoggedCall['method'], input: Uint8Array, actions: readonly Action[]): void {
    this.calls.push({ method, input: Uint8Array.from(input), actions: actionLines(actions) });
    for (const action of actions) this.#do(action);
  }

  #do(action: Action): void {
    switch (action.type) {
      case 'send':
        this.push(action.bytes);
        return;
      case 'sign': {
        if (this.#privateKey === undefined) throw new Error('nothing to sign with');
        const signature = signSync(this.#privateKey, action.scheme, action.content);
        this.#log('signed', signature, this.#engine.signed(signature));
        return;
      }
      case 'verifyChain': {
        const publicKey = this.#peerPublicKey;
        if (publicKey === undefined) throw new Error('nobody to verify');
        const keyKind = keyKindOf(publicKey);
        if (keyKind === undefined) throw new Error('a key we do not use');
        const spki = publicKey.export({ format: 'der', type: 'spki' });
        this.#log('verified', spki, this.#engine.verified({ ok: true, publicKey, keyKind }));
        return;
      }
      case 'established':
      case 'failed':
        this.ended = action;
        this.#resolve(action);
    }
  }
}

/** The other end: `node:tls` over our Duplex. */
class Peer {
  readonly #scenario: Scenario;
  readonly #options: tls.SecureContextOptions;
  readonly #context: tls.SecureContext;
  #session: Buffer | undefined;

  constructor(scenario: Scenario, ca: TestCa, identity: IssuedIdentity | undefined) {
    this.#scenario = scenario;
    this.#options = {
      ca: ca.pem,
      ...(identity && { cert: identity.certificatePem, key: identity.privateKeyPem }),
      minVersion: 'TLSv1.2',
      maxVersion: scenario.peer?.maxVersion ?? 'TLSv1.2',
      ecdhCurve: 'prime256v1:X25519:secp384r1',
      sessionIdContext: 'recorded flights',
      ...(scenario.peer?.ciphers === undefined ? {} : { ciphers: scenario.peer.ciphers }),
    };
    this.#context = tls.createSecureContext(this.#options);
  }

  /** Shakes hands once, until both ends know how it ended. */
  async talk(side: RecordingSide): Promise<void> {
    side.start();
    const socket = this.#scenario.role === 'server' ? this.#connect(side) : this.#accept(side);
    socket.on('session', (session) => {
      this.#session = session;
    });
    socket.on('error', () => undefined);
    const secure = happens(socket, this.#scenario.role === 'server' ? 'secureConnect' : 'secure');
    const closed = happens(socket, 'close');
    const ending = await side.ending;
    if (ending.type === 'established') {
      await secure;
      compareExports(ending.result, socket);
    }
    // A session for the next connection comes right behind (RFC 5077 §3.3).
    if (this.#scenario.role === 'server' && this.#scenario.tickets === true) {
      while (this.#session === undefined) await setImmediate();
    }
    socket.destroy();
    side.destroy();
    await closed;
  }

  #connect(side: RecordingSide): tls.TLSSocket {
    return tls.connect({
      ...this.#options,
      socket: side,
      servername: 'server.test',
      ...(this.#session === undefined ? {} : { session: this.#session }),
      ...this.#protocols(),
    });
  }

  #accept(side: RecordingSide): tls.TLSSocket {
    return new tls.TLSSocket(side, {
      isServer: true,
      secureContext: this.#context,
      requestCert: this.#scenario.clientKey !== undefined,
      rejectUnauthorized: false,
      ...this.#protocols(),
    });
  }

  #protocols(): { ALPNProtocols?: string[] } {
    const names = this.#scenario.peer?.ALPNProtocols;
    return names === undefined ? {} : { ALPNProtocols: [...names] };
  }
}

/** OpenSSL has to come to the same secrets (RFC 5705 §4) and has to have seen the same Finished. */
function compareExports(result: HandshakeResult, socket: tls.TLSSocket): void {
  const theirs = [
    ...exporters.map(({ label, length, context }) =>
      socket.exportKeyingMaterial(
        length,
        label,
        context === undefined ? noContext : Buffer.from(context),
      ),
    ),
    socket.getPeerFinished(),
    socket.getFinished(),
  ];
  const ours = [...result.keyingMaterial, result.localFinished, result.peerFinished];
  if (!theirs.every((bytes, index) => bytes && equal(bytes, ours[index] ?? new Uint8Array(0)))) {
    throw new Error('exported secrets or Finished differ');
  }
}

/** Node tells no context from an empty one; its types do not. */
const noContext = undefined as unknown as Buffer;

/** Unlike `once` of `node:events`, errors are waited through. */
function happens(socket: tls.TLSSocket, event: string): Promise<void> {
  return new Promise((resolve) => {
    socket.once(event, () => {
      resolve();
    });
  });
}

await main(process.argv.slice(2));
