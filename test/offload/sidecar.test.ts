import { once } from 'node:events';
import {
  connect as connectTls,
  type ConnectionOptions,
  createServer as createTlsServer,
  type TLSSocket,
} from 'node:tls';
import { expect } from 'chai';
import type { KeyKind } from '../../src/crypto/keys.ts';
import { createOffload, type Offload, type OffloadSocket } from '../../src/offload/index.ts';
import { startTestSidecar, type TestSidecar } from '../sidecar/fixture.ts';
import { createTestCa, type IssuedIdentity, type TestCa } from '../support/test-ca.ts';
import { failure, listen, readBytes, securePair } from './support/connections.ts';
import { memoryPair } from './support/memory-pair.ts';
import { WireTap } from './support/wire-tap.ts';

const dnsNames = ['localhost'];

describe('the offload with a sidecar', () => {
  let ca: TestCa;
  let sidecar: TestSidecar;
  let offload: Offload;
  let stranger: IssuedIdentity;
  let friend: IssuedIdentity;

  before(async () => {
    ca = createTestCa();
    const identity = (keyKind: KeyKind) => ({
      dnsNames,
      uris: [`spiffe://test/service/${keyKind}`],
      keyKind,
      intermediate: true,
    });
    sidecar = await startTestSidecar({
      ca,
      identities: {
        web: identity('ecdsa-p256'),
        p384: identity('ecdsa-p384'),
        ed25519: identity('ed25519'),
        rsa: identity('rsa'),
        expired: {
          dnsNames,
          notBefore: new Date(Date.now() - 7_200_000),
          notAfter: new Date(Date.now() - 3_600_000),
        },
      },
      extra: 'tls: { clientAuth: none }\n',
    });
    stranger = createTestCa({ name: 'Another Root' }).issue({ dnsNames });
    friend = ca.issue({ dnsNames, uris: ['spiffe://test/service/friend'] });
    offload = createOffload({ address: sidecar.address });
  });

  after(async () => {
    await offload.close();
    await sidecar.close();
  });

  for (const identity of ['web', 'p384', 'ed25519', 'rsa']) {
    it(`connects mutually as ${identity}, in full and then resumed`, async () => {
      const options = {
        client: { identity, targetIdentities: [`spiffe://test/service/${identityKind(identity)}`] },
        server: { identity, clientAuth: 'require' as const, ALPNProtocols: ['h2'] },
      };
      for (const resumed of [false, true]) {
        const { client, server, close } = await securePair(offload, options);
        client.write('ping');
        expect((await readBytes(server, 4)).toString()).to.equal('ping');
        server.write('pong');
        expect((await readBytes(client, 4)).toString()).to.equal('pong');
        expect(client.isSessionReused()).to.equal(resumed);
        expect(server.isSessionReused()).to.equal(resumed);
        expect(client.peerIdentity).to.equal(`spiffe://test/service/${identityKind(identity)}`);
        expect(server.peerIdentity).to.equal(client.peerIdentity);
        expect(server.authorized).to.equal(true);
        expect(client.peerCertificateChain).to.have.length(2);
        await close();
      }
    });
  }

  for (const pace of ['one at a time', 'coalesced'] as const) {
    it(`connects when bytes come ${pace}, in full and resumed, with data at once`, async () => {
      for (const resumed of [false, true]) {
        const [left, right] = memoryPair(pace);
        const server = offload.wrap(right, { role: 'server', clientAuth: 'require' });
        const client = offload.wrap(left, {
          role: 'client',
          servername: 'localhost',
          targetIdentities: [
            'spiffe://test/service/ecdsa-p256',
            `spiffe://test/${pace.replaceAll(' ', '-')}`,
          ],
        });
        // On a resumed session the client finishes last, in the same piece as its first data.
        client.write('from the client');
        server.write('from the server');
        const [atClient, atServer] = await Promise.all([
          readBytes(client, 15),
          readBytes(server, 15),
        ]);
        expect(atClient.toString()).to.equal('from the server');
        expect(atServer.toString()).to.equal('from the client');
        expect(client.isSessionReused()).to.equal(resumed);
        client.end();
        client.resume();
        server.resume();
        await Promise.all([once(client, 'close'), once(server, 'close')]);
      }
    });
  }

  it('lets a request to renegotiate lie that comes after its own last word', async () => {
    const listener = offload.createServer({ allowHalfOpen: true, identity: 'web' });
    const { tap, port } = await WireTap.to(await listen(listener));
    const client = connectTls({
      ...{ port, host: '127.0.0.1', ca: ca.pem, servername: 'localhost' },
      ...{ maxVersion: 'TLSv1.2', allowHalfOpen: true },
    });
    client.on('error', () => undefined);
    const [server] = (await once(listener, 'secureConnection')) as [OffloadSocket];
    server.resume();
    server.end();
    client.resume();
    await once(client, 'end');
    const records = () => tap.records('fromClient').length;
    const before = records();
    client.renegotiate({}, () => undefined);
    // Only a write sets it off.
    client.write('and more');
    while (records() === before) await new Promise((resolve) => setImmediate(resolve));
    client.destroy();
    // It was not answered, and the peer went without a goodbye.
    expect(await failure(server)).to.have.property('code', 'ERR_OFFLOAD_TRUNCATED');
    tap.close();
    listener.close();
  });

  it('exports the same keying material as the other side (RFC 5705)', async () => {
    const keyingMaterial = [{ label: 'EXPORTER-sidekey-test', length: 32 }];
    const { client, server, close } = await securePair(offload, {
      client: { keyingMaterial },
      server: { keyingMaterial },
    });
    const material = client.exportKeyingMaterial(32, 'EXPORTER-sidekey-test');
    expect(material.equals(server.exportKeyingMaterial(32, 'EXPORTER-sidekey-test'))).to.equal(
      true,
    );
    expect(material.equals(Buffer.alloc(32))).to.equal(false);
    await close();
  });

  it('lists its identities', async () => {
    const { identities } = await offload.listIdentities();
    expect(identities.map(({ name }) => name)).to.include.members(['web', 'rsa', 'ed25519']);
    const web = identities.find(({ name }) => name === 'web');
    expect(web).to.include({ isDefault: true, ready: true, problem: undefined });
    expect(web?.notAfter).to.be.instanceOf(Date);
    await offload.waitForSidecar({ timeoutMs: 1000 });
  });

  describe('and a client of node:tls', () => {
    const accept = async (options: ConnectionOptions, serverOptions = {}) => {
      const listener = offload.createServer(
        { ALPNProtocols: ['proto/1'], clientAuth: 'require', ...serverOptions },
        (socket) => socket.pipe(socket),
      );
      const port = await listen(listener);
      const refused = once(listener, 'tlsClientError') as Promise<[Error, OffloadSocket]>;
      const accepted = once(listener, 'secureConnection') as Promise<[OffloadSocket]>;
      const client = connectTls({
        port,
        host: '127.0.0.1',
        servername: 'localhost',
        ca: ca.pem,
        ALPNProtocols: ['proto/1'],
        ...options,
      });
      return { client, accepted, refused, listener };
    };

    for (const [identity, curve] of [
      ['web', 'X25519:P-256'],
      ['web', 'P-384:P-256'],
      ['rsa', 'P-256'],
      ['ed25519', 'P-256'],
    ] as const) {
      it(`echoes as ${identity} over ${curve}`, async () => {
        const { client, accepted, listener } = await accept(
          {
            cert: friend.certificatePem,
            key: friend.privateKeyPem,
            ecdhCurve: curve,
          },
          { identity },
        );
        await once(client, 'secureConnect');
        expect(client.getProtocol()).to.equal('TLSv1.2');
        expect(client.alpnProtocol).to.equal('proto/1');
        const [server] = await accepted;
        expect(server.peerIdentity).to.equal('spiffe://test/service/friend');
        expect(server.servername).to.equal('localhost');
        const data = Buffer.alloc(100_000, 'data');
        client.write(data);
        expect((await readBytes(client, data.length)).equals(data)).to.equal(true);
        client.end();
        client.resume();
        await once(client, 'close');
        listener.close();
      });
    }

    it('resumes its session', async () => {
      const options = { cert: friend.certificatePem, key: friend.privateKeyPem };
      const first = await accept(options);
      const session = once(first.client, 'session') as Promise<[Buffer]>;
      await once(first.client, 'secureConnect');
      first.client.end().resume();
      first.listener.close();
      const second = await accept({ ...options, session: (await session)[0] });
      const [[server]] = await Promise.all([second.accepted, once(second.client, 'secureConnect')]);
      expect(second.client.isSessionReused()).to.equal(true);
      expect(server.isSessionReused()).to.equal(true);
      expect(server.peerIdentity).to.equal('spiffe://test/service/friend');
      second.client.end().resume();
      second.listener.close();
    });

    it('declines to renegotiate, and goes on (RFC 5246 §7.2.2)', async () => {
      const { client, accepted, listener } = await accept({
        cert: friend.certificatePem,
        key: friend.privateKeyPem,
      });
      const [[server]] = await Promise.all([accepted, once(client, 'secureConnect')]);
      // OpenSSL takes the warning for an error of its own; our side has none.
      const refusal = new Promise<Error | null>((resolve) => {
        client.on('error', resolve);
        client.renegotiate({}, resolve);
      });
      expect(await refusal)
        .to.have.property('message')
        .that.matches(/no renegotiation/i);
      expect(server.destroyed).to.equal(false);
      client.destroy();
      listener.close();
    });

    it('refuses one without a certificate', async () => {
      const { client, refused, listener } = await accept({});
      client.on('error', () => undefined);
      const [error] = await refused;
      expect(error).to.have.property('alert', 'handshake_failure');
      expect(error).to.have.property('code', 'ERR_OFFLOAD_HANDSHAKE');
      listener.close();
    });

    it('refuses one of another CA by the code node:tls has', async () => {
      const { client, refused, listener } = await accept({
        cert: stranger.certificatePem,
        key: stranger.privateKeyPem,
      });
      client.on('error', () => undefined);
      const [error] = await refused;
      expect(error).to.include({ code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE', alert: 'unknown_ca' });
      listener.close();
    });

    it('lets one without a certificate in where policy and server do', async () => {
      const { client, accepted, listener } = await accept({}, { clientAuth: 'none' });
      const [[server]] = await Promise.all([accepted, once(client, 'secureConnect')]);
      expect(server.authorized).to.equal(false);
      expect(server.getPeerCertificate()).to.deep.equal({});
      client.end().resume();
      listener.close();
    });
  });

  describe('and a server of node:tls', () => {
    const dial = async (identity: IssuedIdentity, options = {}) => {
      const listener = createTlsServer({
        cert: identity.certificatePem,
        key: identity.privateKeyPem,
        ca: ca.pem,
        requestCert: true,
        rejectUnauthorized: true,
        maxVersion: 'TLSv1.2',
        ALPNProtocols: ['proto/1'],
      });
      listener.on('secureConnection', (socket: TLSSocket) => socket.pipe(socket));
      listener.on('tlsClientError', () => undefined);
      const port = await listen(listener);
      const client = offload.connect({
        port,
        host: '127.0.0.1',
        servername: 'localhost',
        ALPNProtocols: ['proto/1'],
        ...options,
      });
      return { client, listener };
    };

    for (const keyKind of ['ecdsa-p256', 'rsa', 'ed25519'] as const) {
      it(`gets an echo from a key of kind ${keyKind}`, async () => {
        const { client, listener } = await dial(
          ca.issue({ dnsNames, keyKind, intermediate: true }),
        );
        await once(client, 'secureConnect');
        expect(client.alpnProtocol).to.equal('proto/1');
        const data = Buffer.alloc(100_000, 'data');
        client.write(data);
        expect((await readBytes(client, data.length)).equals(data)).to.equal(true);
        client.end().resume();
        await once(client, 'close');
        listener.close();
      });
    }

    const refusals = [
      { name: 'of another CA', issue: () => stranger, code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' },
      {
        name: 'that has expired',
        issue: () =>
          ca.issue({
            dnsNames,
            notBefore: new Date(Date.now() - 7_200_000),
            notAfter: new Date(Date.now() - 3_600_000),
          }),
        code: 'CERT_HAS_EXPIRED',
      },
      {
        name: 'that is not valid yet',
        issue: () =>
          ca.issue({
            dnsNames,
            notBefore: new Date(Date.now() + 3_600_000),
            notAfter: new Date(Date.now() + 7_200_000),
          }),
        code: 'CERT_NOT_YET_VALID',
      },
      {
        name: 'for another name',
        issue: () => ca.issue({ dnsNames: ['elsewhere.test'] }),
        code: 'ERR_TLS_CERT_ALTNAME_INVALID',
      },
      {
        name: 'without the identity wanted',
        issue: () => ca.issue({ dnsNames }),
        options: { targetIdentities: ['spiffe://test/service/other'] },
        code: 'ERR_TLS_CERT_ALTNAME_INVALID',
      },
    ];
    for (const { name, issue, options, code } of refusals) {
      it(`refuses a certificate ${name} with ${code}`, async () => {
        const { client, listener } = await dial(issue(), options);
        const error = await failure(client);
        expect(error).to.include({ code, phase: 'handshake' });
        expect(error).to.have.property('handshakeId').that.is.a('string');
        listener.close();
      });
    }
  });

  it('says that an identity is unknown or not allowed', async () => {
    const listener = offload.createServer({});
    const port = await listen(listener);
    const client = offload.connect({ port, host: '127.0.0.1', identity: 'nobody' });
    const error = await failure(client);
    expect(error)
      .to.have.property('code')
      .that.is.oneOf(['ERR_OFFLOAD_DENIED', 'ERR_OFFLOAD_POLICY']);
    listener.close();
  });

  it('leaves nothing open in the sidecar', async () => {
    await offload.close();
    offload = createOffload({ address: sidecar.address });
    await offload.waitForSidecar();
  });
});

function identityKind(identity: string): string {
  return identity === 'web' ? 'ecdsa-p256' : identity === 'p384' ? 'ecdsa-p384' : identity;
}
