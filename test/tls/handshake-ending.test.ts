import { expect } from 'chai';
import { AlertDescription } from '../../src/tls/alert.ts';
import { createClientHandshake } from '../../src/tls/client/handshake.ts';
import type { HandshakeResult } from '../../src/tls/config.ts';
import { endingOf } from '../../src/tls/handshake-failure.ts';
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
import { PuppetClient, PuppetServer } from '../support/puppet.ts';
import { sent, types } from './actions.ts';

const identity = testIdentity('ecdsa-p256');
const server = () => serverConfig({ credentials: [identity.credential] });

describe('failure (RFC 5246 §7.2.2)', () => {
  it('is one alert, and the same answer from then on, without another', () => {
    const engine = createServerHandshake(server());
    engine.start();
    const actions = engine.receive(Buffer.from('1603010003', 'hex').fill(0, 4));
    expect(types(actions)).to.deep.equal(['send', 'failed']);
    const failed = actions.slice(1);
    expect(engine.phase).to.equal('Failed');
    expect(engine.receive(Buffer.from('more'))).to.deep.equal(failed);
    expect(engine.signed(new Uint8Array(1))).to.deep.equal(failed);
    expect(
      engine.verified({ ok: true, publicKey: identity.publicKey, keyKind: identity.keyKind }),
    ).to.deep.equal(failed);
    expect(engine.abort('internal_error', 'x', 'y')).to.deep.equal(failed);
    expect(engine.start()).to.deep.equal(failed);
  });

  it('tells the peer in the clear before our ChangeCipherSpec', () => {
    const engine = createServerHandshake(server());
    engine.start();
    const bytes = sent(engine.receive(Buffer.from('1603010001', 'hex').fill(0, 4)));
    expect(bytes.toString('hex')).to.equal('1503030002020a');
  });

  it('tells the peer protected after it, after all that came before', () => {
    const puppet = new PuppetServer(identity);
    const client = new EngineSide(createClientHandshake(clientConfig()));
    puppet.take(client.start());
    client.receive(puppet.serverHello());
    client.receive(puppet.certificate());
    client.receive(puppet.serverKeyExchange());
    puppet.take(client.receive(puppet.serverHelloDone()));
    client.receive(puppet.changeCipherSpec());
    const bytes = client.receive(puppet.finished(() => new Uint8Array(12)));
    expect(bytes).to.have.length(5 + 2 + 24);
    expect(puppet.take(bytes)).to.equal(AlertDescription.decrypt_error);
  });

  it("of the server after the client's ChangeCipherSpec is still in the clear", () => {
    const puppet = new PuppetClient();
    const engine = new EngineSide(createServerHandshake(server()));
    engine.start();
    puppet.take(engine.receive(puppet.clientHello()));
    engine.receive(puppet.clientKeyExchange());
    engine.receive(puppet.changeCipherSpec());
    const bytes = engine.receive(puppet.finished(() => new Uint8Array(12)));
    expect(bytes.toString('hex')).to.equal('15030300020233');
  });

  it('says who, what and where', () => {
    const engine = new EngineSide(createServerHandshake(server()));
    engine.start();
    engine.receive(new PuppetClient().clientHello({ cipherSuites: [0x1301] }));
    expect(engine.failure).to.deep.equal({
      kind: 'peer',
      alert: 'handshake_failure',
      reason: 'no_common_parameters',
      message: 'no common cipher suite and signature scheme for any credential',
      phase: 'ExpectClientHello',
    });
  });

  it('of our own is internal_error, and its text is not told', () => {
    const config = {
      ...server(),
      generateKeyShare: () => {
        throw new Error('secret');
      },
    };
    const engine = new EngineSide(createServerHandshake(config));
    engine.start();
    const bytes = engine.receive(new PuppetClient().clientHello());
    expect(bytes.toString('hex')).to.equal('15030300020250');
    expect(engine.failure).to.deep.include({
      kind: 'local',
      alert: 'internal_error',
      reason: 'internal_error',
      message: 'internal error (Error)',
    });
    expect(engine.failure?.cause).to.be.instanceOf(Error);
  });

  it('of our own may be anything thrown', () => {
    const { failure, alert } = endingOf('a string', 'ExpectFinished');
    expect(alert).to.equal('internal_error');
    expect(failure.message).to.equal('internal error (string)');
  });
});

describe('abort', () => {
  it('sends the alert it is given and ends at our fault', () => {
    const engine = createServerHandshake(server());
    engine.start();
    const actions = engine.abort('user_canceled', 'deadline', 'took too long');
    expect(actions).to.deep.equal([
      { type: 'send', bytes: Buffer.from('1503030002025a', 'hex') },
      {
        type: 'failed',
        failure: {
          kind: 'local',
          alert: 'user_canceled',
          reason: 'deadline',
          message: 'took too long',
          phase: 'ExpectClientHello',
        },
      },
    ]);
  });

  it('drops a flight that waits for its signature', () => {
    const engine = createServerHandshake(server());
    engine.start();
    const [sign] = engine.receive(new PuppetClient().clientHello());
    const actions = engine.abort('internal_error', 'key_unavailable', 'the key is gone');
    expect(sent(actions).toString('hex')).to.equal('15030300020250');
    if (sign?.type !== 'sign') throw new Error('no sign action');
    expect(types(engine.signed(signWithIdentity(sign)))).to.deep.equal(['failed']);
  });

  it('works before the start', () => {
    const engine = createClientHandshake(clientConfig());
    expect(types(engine.abort('internal_error', 'x', 'y'))).to.deep.equal(['send', 'failed']);
  });
});

describe('wipe', () => {
  function secretsOf({ read, write, keyingMaterial }: HandshakeResult): readonly Uint8Array[] {
    return [read.key, read.fixedNonce, write.key, write.fixedNonce, ...keyingMaterial];
  }
  const isZero = (bytes: Uint8Array): boolean => bytes.every((byte) => byte === 0);
  const exporters = [{ label: 'EXPORTER-test', length: 32 }];

  it('overwrites the keys of a result, but not what only the driver has', () => {
    const exchange = shakeHands(
      clientConfig({ exporters }),
      serverConfig({ credentials: [identity.credential], exporters, tickets: testTickets() }),
    );
    for (const side of [exchange.client, exchange.server]) {
      const result = side.result!;
      expect(secretsOf(result).some(isZero)).to.equal(false);
      side.handshake.wipe();
      expect(secretsOf(result).every(isZero)).to.equal(true);
      side.handshake.wipe();
    }
    expect(isZero(exchange.client.result!.session!.masterSecret)).to.equal(false);
  });

  it('ends a handshake that goes on', () => {
    const engine = createClientHandshake(clientConfig());
    engine.start();
    engine.wipe();
    expect(engine.phase).to.equal('Failed');
    expect(engine.receive(new Uint8Array(5))).to.deep.equal([
      {
        type: 'failed',
        failure: {
          kind: 'local',
          reason: 'abandoned',
          message: 'the handshake was abandoned',
          phase: 'ExpectServerHello',
        },
      },
    ]);
  });

  it('is done to the premaster secret as soon as it is used', () => {
    const secrets: Uint8Array[] = [];
    const watch = <
      Config extends ReturnType<typeof clientConfig> | ReturnType<typeof serverConfig>,
    >(
      config: Config,
    ): Config => ({
      ...config,
      generateKeyShare: (group) => {
        const share = config.generateKeyShare(group);
        const complete = (peer: Uint8Array): Uint8Array => {
          const secret = share.complete(peer);
          secrets.push(secret);
          return secret;
        };
        return { group, publicKey: share.publicKey, complete };
      },
    });
    const exchange = shakeHands(watch(clientConfig()), watch(server()));
    expect(exchange.server.result?.resumed).to.equal(false);
    expect(secrets.map(isZero)).to.deep.equal([true, true]);
  });

  it('is done to what is in tickets', () => {
    const tickets = testTickets();
    const opened: Uint8Array[] = [];
    const watched = {
      lifetimeSeconds: tickets.lifetimeSeconds,
      seal: (plaintext: Uint8Array) => {
        opened.push(plaintext);
        return tickets.seal(plaintext);
      },
      open: (ticket: Uint8Array) => {
        const plaintext = tickets.open(ticket);
        if (plaintext !== undefined) opened.push(plaintext);
        return plaintext;
      },
    };
    const config = serverConfig({ credentials: [identity.credential], tickets: watched });
    const session = shakeHands(clientConfig(), config).client.result!.session!;
    shakeHands(clientConfig({ session }), config);
    // Two tickets sealed, one opened between them: none of the plaintexts is left.
    expect(opened.map(isZero)).to.deep.equal([true, true, true]);
  });
});
