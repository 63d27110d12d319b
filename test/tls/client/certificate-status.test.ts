import { expect } from 'chai';
import { AlertDescription, type AlertName } from '../../../src/tls/alert.ts';
import { createClientHandshake } from '../../../src/tls/client/handshake.ts';
import type { Action } from '../../../src/tls/config.ts';
import { HandshakeType } from '../../../src/tls/registries.ts';
import {
  type Answers,
  clientConfig,
  EngineSide,
  testIdentity,
  trustIdentities,
} from '../../support/engine-driver.ts';
import { PuppetServer } from '../../support/puppet.ts';

const identity = testIdentity('ecdsa-p256');
const own = testIdentity('ecdsa-p256');
const staple = Buffer.from('30030a0106', 'hex');

/** A client that waits for Certificate, of a server that acknowledged `status_request` or did not. */
function afterServerHello(statusRequest: boolean, answers?: Answers) {
  const config = clientConfig({ credentials: [own.credential] });
  const client = new EngineSide(createClientHandshake(config), answers);
  const server = new PuppetServer(identity);
  server.take(client.start());
  client.receive(server.serverHello({ extensions: { statusRequest } }));
  return { client, server };
}

function types(actions: readonly Action[]): readonly string[] {
  return actions.map(({ type }) => type);
}

describe('CertificateStatus at the client (RFC 6066 §8)', () => {
  const question = {
    type: 'verifyChain',
    certificates: identity.credential.certificates.map((der) => Buffer.from(der)),
    purpose: 'server',
    resumed: false,
  };

  it('is handed to the driver with the chain, and nothing is asked before it', () => {
    const { client, server } = afterServerHello(true);
    client.receive(server.certificate());
    expect(client.asked).to.deep.equal([]);
    client.receive(server.certificateStatus(staple));
    expect(client.asked).to.deep.equal([{ ...question, stapledOcsp: staple }]);
    expect(client.handshake.phase).to.equal('ExpectServerKeyExchange');
  });

  it('may be left out: the chain is then judged when ServerKeyExchange comes', () => {
    const { client, server } = afterServerHello(true);
    client.receive(server.certificate());
    expect(client.asked).to.deep.equal([]);
    client.receive(server.serverKeyExchange());
    expect(client.asked).to.deep.equal([question]);
    expect(client.handshake.phase).to.equal('ExpectCertificateRequestOrServerHelloDone');
  });

  it('is not waited for when the wish was not acknowledged', () => {
    const { client, server } = afterServerHello(false);
    client.receive(server.certificate());
    expect(client.asked).to.deep.equal([question]);
  });

  it('is part of the transcript a CertificateVerify signs', () => {
    const { client, server } = afterServerHello(true);
    client.receive(server.certificate());
    const status = server.certificateStatus(staple);
    client.receive(status);
    client.receive(server.serverKeyExchange());
    client.receive(server.certificateRequest());
    server.take(client.receive(server.serverHelloDone()));
    const signed = client.asked.find((action) => action.type === 'sign');
    expect(Buffer.from(signed?.content ?? []).includes(status.subarray(5))).to.equal(true);
  });

  const refused: readonly {
    readonly name: string;
    readonly acknowledged?: boolean;
    readonly say: (server: PuppetServer) => Uint8Array;
    readonly alert: AlertName;
  }[] = [
    {
      name: 'one that was not announced',
      acknowledged: false,
      say: (server) => server.certificateStatus(staple),
      alert: 'unexpected_message',
    },
    {
      name: 'another status type',
      say: (server) =>
        server.message(HandshakeType.certificate_status, Buffer.from('020000023000', 'hex')),
      alert: 'illegal_parameter',
    },
    {
      name: 'an empty response',
      say: (server) => server.certificateStatus(new Uint8Array(0)),
      alert: 'decode_error',
    },
    {
      name: 'bytes behind the response',
      say: (server) =>
        server.message(HandshakeType.certificate_status, Buffer.from('01000002300000', 'hex')),
      alert: 'decode_error',
    },
    {
      name: 'a body cut short',
      say: (server) =>
        server.message(HandshakeType.certificate_status, Buffer.from('0100000330', 'hex')),
      alert: 'decode_error',
    },
    {
      name: 'an empty body',
      say: (server) => server.message(HandshakeType.certificate_status, new Uint8Array(0)),
      alert: 'decode_error',
    },
  ];
  for (const { name, acknowledged = true, say, alert } of refused) {
    it(`answers ${alert} to ${name}`, () => {
      const { client, server } = afterServerHello(acknowledged);
      client.receive(server.certificate());
      expect(server.take(client.receive(say(server)))).to.equal(AlertDescription[alert]);
      expect(client.failure).to.include({ kind: 'peer', alert });
      // What came with a chain that was never judged led to nothing.
      if (acknowledged) expect(client.asked).to.deep.equal([]);
    });
  }

  it('is refused with the alert of the verdict', () => {
    const verdict = {
      ok: false,
      alert: 'certificate_revoked',
      reason: 'certificate_revoked',
      message: 'revoked',
    } as const;
    const { client, server } = afterServerHello(true, { verifyChain: () => verdict });
    client.receive(server.certificate());
    expect(server.take(client.receive(server.certificateStatus(staple)))).to.equal(44);
    expect(client.failure).to.include({
      alert: 'certificate_revoked',
      reason: 'certificate_revoked',
      phase: 'AwaitServerVerdict',
    });
  });
});

describe('what comes where a CertificateStatus could have (RFC 6066 §8)', () => {
  const forged = (server: PuppetServer): Uint8Array =>
    server.serverKeyExchange({ changeSignature: () => new Uint8Array(4) });

  it('is not looked at before the verdict', () => {
    const { client, server } = afterServerHello(true);
    client.receive(server.certificate());
    const asked = client.handshake.receive(forged(server));
    expect(types(asked)).to.deep.equal(['verifyChain']);
    expect(client.handshake.phase).to.equal('AwaitServerVerdict');
  });

  it('does not matter when the verdict is a refusal', () => {
    const { client, server } = afterServerHello(true);
    client.receive(server.certificate());
    client.handshake.receive(forged(server));
    const refusal = { ok: false, alert: 'unknown_ca', reason: 'r', message: 'm' } as const;
    expect(server.take(client.perform(client.handshake.verified(refusal)))).to.equal(48);
    expect(client.failure).to.include({ alert: 'unknown_ca' });
  });

  it('is looked at once the verdict is good', () => {
    const { client, server } = afterServerHello(true);
    client.receive(server.certificate());
    const [asked] = client.handshake.receive(forged(server));
    if (asked?.type !== 'verifyChain') throw new Error('no verdict asked for');
    const alert = server.take(client.perform(client.handshake.verified(trustIdentities(asked))));
    expect(alert).to.equal(AlertDescription.decrypt_error);
  });

  it('is taken with all that follows it, cut in any way, and handed in while the verdict is out', () => {
    const { client, server } = afterServerHello(true);
    const flight = Buffer.concat([
      server.certificate(),
      server.serverKeyExchange(),
      server.serverHelloDone(),
    ]);
    let asked: readonly Action[] = [];
    for (const byte of flight) {
      const actions = client.handshake.receive(Uint8Array.of(byte));
      if (actions.length > 0) asked = actions;
    }
    const [action] = asked;
    if (action?.type !== 'verifyChain') throw new Error('no verdict asked for');
    server.take(client.perform(client.handshake.verified(trustIdentities(action))));
    client.receive(server.changeCipherSpec());
    client.receive(server.finished());
    expect(client.result?.resumed).to.equal(false);
  });
});
