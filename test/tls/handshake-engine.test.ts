import { expect } from 'chai';
import { createClientHandshake } from '../../src/tls/client/handshake.ts';
import type { Action } from '../../src/tls/config.ts';
import { createRecordOpener, createRecordSealer } from '../../src/tls/record/protection.ts';
import { ContentType } from '../../src/tls/registries.ts';
import { createServerHandshake } from '../../src/tls/server/handshake.ts';
import {
  clientConfig,
  EngineSide,
  serverConfig,
  shakeHands,
  signWithIdentity,
  testIdentity,
  testTickets,
} from '../support/engine-driver.ts';
import { answerAll, sent, types } from './actions.ts';

const identity = testIdentity('ecdsa-p256');
const clientIdentity = testIdentity('ecdsa-p256');
const server = () => serverConfig({ credentials: [identity.credential] });
const mutual = () => serverConfig({ credentials: [identity.credential], clientAuth: 'require' });
const withCredential = () => clientConfig({ credentials: [clientIdentity.credential] });

describe('application data behind the last handshake record (RFC 5246 §7.3)', () => {
  const trailing = Buffer.from('1703030004deadbeef1703', 'hex');

  for (const [name, tickets] of [
    ['full', undefined],
    ['resumed', testTickets()],
  ] as const) {
    for (let extra = 0; extra <= trailing.length; extra += 1) {
      it(`is counted and left alone: ${name} handshake, ${String(extra)} bytes`, () => {
        const config = serverConfig({
          credentials: [identity.credential],
          ...(tickets === undefined ? {} : { tickets }),
        });
        const session = tickets && shakeHands(clientConfig(), config).client.result?.session;
        const client = clientConfig(session === undefined ? {} : { session });
        // Who hears the other's Finished last: the client in a full handshake.
        const lastFrom = session === undefined ? 'server' : 'client';
        const exchange = shakeHands(client, config);
        const flightsBefore = exchange.flights.length;
        let flights = 0;
        const again = shakeHands(client, config, {
          deliver: (from, bytes) => {
            flights += 1;
            if (flights < flightsBefore) return [bytes];
            expect(from).to.equal(lastFrom);
            return [Buffer.concat([bytes, trailing.subarray(0, extra)])];
          },
        });
        const last = lastFrom === 'server' ? again.client : again.server;
        expect(last.result?.resumed).to.equal(session !== undefined);
        expect(last.trailingBytes).to.equal(extra);
        const first = lastFrom === 'server' ? again.server : again.client;
        expect(first.trailingBytes).to.equal(0);
      });
    }
  }

  it('is counted when it comes with the last byte of Finished alone', () => {
    let flights = 0;
    const exchange = shakeHands(clientConfig(), server(), {
      deliver: (_from, bytes) => {
        flights += 1;
        if (flights < 4) return [bytes];
        return [bytes.subarray(0, -1), Buffer.concat([bytes.subarray(-1), trailing])];
      },
    });
    expect(exchange.client.result?.resumed).to.equal(false);
    expect(exchange.client.trailingBytes).to.equal(trailing.length);
  });

  it('may be more than a handshake may have', () => {
    let flights = 0;
    const exchange = shakeHands(clientConfig(), server(), {
      deliver: (_from, bytes) => {
        flights += 1;
        return [flights < 4 ? bytes : Buffer.concat([bytes, Buffer.alloc(200_000, 23)])];
      },
    });
    expect(exchange.client.trailingBytes).to.equal(200_000);
  });

  it('is not for the engine before that: not even the end of a flight may be followed by it', () => {
    const exchange = shakeHands(clientConfig(), server(), {
      deliver: (from, bytes) => (from === 'client' ? [bytes] : [bytes, trailing]),
    });
    expect(exchange.client.failure?.alert).to.equal('unexpected_message');
  });

  it('is counted back over several calls when they came while an answer was pending', () => {
    const client = new EngineSide(createClientHandshake(withCredential()));
    const engine = createServerHandshake(mutual());
    engine.start();
    const hello = client.start();
    const flight = sent(answerAll(engine, engine.receive(hello)));
    const answer = client.receive(flight);
    const question = engine.receive(answer.subarray(0, answer.length - 3));
    expect(types(question)).to.deep.equal(['verifyChain']);
    expect(engine.receive(answer.subarray(answer.length - 3))).to.deep.equal([]);
    expect(engine.receive(trailing.subarray(0, 4))).to.deep.equal([]);
    expect(engine.receive(trailing.subarray(4))).to.deep.equal([]);
    const [action] = answerAll(engine, question).filter(({ type }) => type === 'established');
    expect(action).to.include({ trailingBytes: trailing.length });
  });
});

describe('questions to the driver', () => {
  it('keep what comes meanwhile, and everything goes on after the answer', () => {
    const client = createClientHandshake(withCredential());
    const peer = new EngineSide(createServerHandshake(mutual()));
    peer.start();
    const flight = peer.receive(sent(client.start()));
    const asked = client.receive(flight.subarray(0, 5));
    expect(asked).to.deep.equal([]);
    const question = client.receive(flight.subarray(5));
    expect(types(question)).to.deep.equal(['verifyChain']);
    expect(client.phase).to.equal('AwaitServerVerdict');
    const next = client.verified({
      ok: true,
      publicKey: identity.publicKey,
      keyKind: identity.keyKind,
    });
    expect(types(next)).to.deep.equal(['sign']);
    const [sign] = next;
    if (sign?.type !== 'sign') throw new Error('no sign action');
    const last = client.signed(signWithIdentity(sign));
    expect(types(last)).to.deep.equal(['send']);
    const answer = peer.receive(sent(last));
    expect(types(client.receive(answer))).to.deep.equal(['established']);
  });

  it('send nothing of a flight before it is whole', () => {
    const engine = createServerHandshake(server());
    engine.start();
    const actions = engine.receive(new EngineSide(createClientHandshake(clientConfig())).start());
    expect(types(actions)).to.deep.equal(['sign']);
    const [sign] = actions;
    if (sign?.type !== 'sign') throw new Error('no sign action');
    expect(types(engine.signed(signWithIdentity(sign)))).to.deep.equal(['send']);
  });

  it('are answered once, and by what was asked for', () => {
    const engine = createServerHandshake(server());
    engine.start();
    expect(() => engine.signed(new Uint8Array(1))).to.throw(TypeError);
    const verdict = { ok: true, publicKey: identity.publicKey, keyKind: identity.keyKind } as const;
    expect(() => engine.verified(verdict)).to.throw(TypeError);
    const [sign] = engine.receive(new EngineSide(createClientHandshake(clientConfig())).start());
    expect(() => engine.verified(verdict)).to.throw(TypeError);
    if (sign?.type !== 'sign') throw new Error('no sign action');
    const signature = signWithIdentity(sign);
    expect(types(engine.signed(signature))).to.deep.equal(['send']);
    expect(() => engine.signed(signature)).to.throw(TypeError);
    expect(engine.phase).to.equal('ExpectClientKeyExchange');
  });

  it('hold a wrong alert or record back until they are answered', () => {
    const engine = createServerHandshake(server());
    engine.start();
    const [sign] = engine.receive(new EngineSide(createClientHandshake(clientConfig())).start());
    expect(engine.receive(Buffer.from('15030300020228', 'hex'))).to.deep.equal([]);
    if (sign?.type !== 'sign') throw new Error('no sign action');
    const actions = engine.signed(signWithIdentity(sign));
    // As if the alert had come after the flight.
    expect(types(actions)).to.deep.equal(['send', 'failed']);
    expect(actions[1]).to.have.nested.include({ 'failure.kind': 'peer_alert' });
  });

  it('do not keep a whole flight from being sent when what came meanwhile is wrong', () => {
    const hello = new EngineSide(createClientHandshake(clientConfig())).start();
    const wrong = Buffer.from('160303000414000000', 'hex');
    const sentWhen = (...chunks: readonly Uint8Array[]): readonly number[] => {
      const side = new EngineSide(createServerHandshake(server()));
      side.start();
      const bytes = Buffer.concat(chunks.map((chunk) => side.receive(chunk)));
      expect(side.failure?.alert).to.equal('unexpected_message');
      const types: number[] = [];
      for (let at = 0; at < bytes.length; at += 5 + bytes.readUInt16BE(at + 3)) {
        types.push(bytes.readUInt8(at));
      }
      return types;
    };
    const { handshake, alert } = ContentType;
    expect(sentWhen(hello, wrong)).to.deep.equal([handshake, alert]);
    expect(sentWhen(Buffer.concat([hello, wrong]))).to.deep.equal([handshake, alert]);
  });

  it('bound what waits for an answer', () => {
    const engine = createServerHandshake(server());
    engine.start();
    engine.receive(new EngineSide(createClientHandshake(clientConfig())).start());
    let actions: readonly Action[] = [];
    for (let bytes = 0; bytes <= 128 * 1024 && actions.length === 0; bytes += 1000) {
      actions = engine.receive(Buffer.alloc(1000, 22));
    }
    expect(types(actions)).to.deep.equal(['send', 'failed']);
    expect(actions[1]).to.have.nested.include({ 'failure.reason': 'handshake_too_large' });
  });

  it('may be about a session that is resumed', () => {
    const tickets = testTickets();
    const config = serverConfig({
      credentials: [identity.credential],
      clientAuth: 'require',
      tickets,
    });
    const session = shakeHands(withCredential(), config).client.result!.session!;
    const client = createClientHandshake({ ...withCredential(), session });
    const engine = createServerHandshake(config);
    engine.start();
    const actions = engine.receive(sent(client.start()));
    expect(types(actions)).to.deep.equal(['verifyChain']);
    expect(actions[0]).to.include({ resumed: true, purpose: 'client' });
    expect(engine.phase).to.equal('AwaitResumptionVerdict');
  });
});

describe('the life of a handshake', () => {
  it('begins with start, once', () => {
    const engine = createServerHandshake(server());
    expect(() => engine.receive(new Uint8Array(1))).to.throw(TypeError);
    expect(engine.start()).to.deep.equal([]);
    expect(() => engine.start()).to.throw(TypeError);
  });

  it('has a phase in words of the RFC', () => {
    const client = createClientHandshake(clientConfig());
    expect(client.phase).to.equal('Start');
    client.start();
    expect(client.phase).to.equal('ExpectServerHello');
    const exchange = shakeHands(clientConfig(), server());
    expect(exchange.client.handshake.phase).to.equal('Established');
    expect(exchange.server.handshake.phase).to.equal('Established');
  });

  it('takes nothing after it is established', () => {
    const { client } = shakeHands(clientConfig(), server());
    expect(() => client.handshake.receive(new Uint8Array(1))).to.throw(TypeError);
    expect(() => client.handshake.signed(new Uint8Array(1))).to.throw(TypeError);
    expect(client.handshake.abort('internal_error', 'late', 'too late')).to.deep.equal([]);
  });

  it('takes empty reads', () => {
    const engine = createServerHandshake(server());
    engine.start();
    expect(engine.receive(new Uint8Array(0))).to.deep.equal([]);
    expect(engine.phase).to.equal('ExpectClientHello');
  });

  it('does not keep the bytes it was lent', () => {
    const bytes = new EngineSide(createClientHandshake(clientConfig())).start();
    const engine = new EngineSide(createServerHandshake(server()));
    engine.start();
    const half = Buffer.from(bytes.subarray(0, 50));
    engine.receive(half);
    half.fill(0);
    engine.receive(bytes.subarray(50));
    expect(engine.failure).to.equal(undefined);
  });
});

describe('what is handed over (RFC 5246 §6.2.3.3)', () => {
  it('continues at record 1 in both directions, with the nonces of the handshake used up', () => {
    const { client, server: side } = shakeHands(clientConfig(), server());
    const write = client.result!.write;
    const { cipherSuite } = client.result!;
    const sealer = createRecordSealer({ cipherSuite, ...write, provider: 'node' });
    const record = Buffer.alloc(5 + 24 + 4);
    sealer.seal(ContentType.application_data, Buffer.from('ping'), record, 0);
    expect(record.subarray(5, 13).toString('hex')).to.equal('0000000000000001');
    const read = side.result!.read;
    const opener = createRecordOpener({ cipherSuite, ...read, provider: 'node' });
    expect(Buffer.from(opener.open(record)).toString()).to.equal('ping');
  });

  it('replays byte for byte with the same randomness, keys and signatures', () => {
    const bytes = (seed: number) => {
      let count = seed;
      return (length: number) => new Uint8Array(length).fill((count += 1));
    };
    const run = (): string =>
      shakeHands(
        clientConfig({ random: bytes(0) }),
        serverConfig({ credentials: [identity.credential], random: bytes(100) }),
      ).flights[0]!.bytes.toString('hex');
    expect(run()).to.equal(run());
  });
});
