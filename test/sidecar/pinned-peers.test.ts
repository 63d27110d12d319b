import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import { expect } from 'chai';
import { generateKeyPair, type KeyPair } from '../../src/crypto/key-generation.ts';
import {
  type ConnectOptions,
  createOffload,
  type Offload,
  type OffloadSocket,
  type ServerOptions,
} from '../../src/offload/index.ts';
import { encodeName, exportPkcs8Pem, issueCertificate } from '../../src/pki/index.ts';
import { failure, listen, securePair } from '../offload/support/connections.ts';
import { createTestCa, type TestCa, toPem } from '../support/test-ca.ts';
import { startTestSidecar, type TestSidecar } from './fixture.ts';

const uid = String(process.getuid?.());
const managerId = 'spiffe://test/manager/1';
const agentId = 'spiffe://test/agent/2';
const hour = 3_600_000;

describe('peers a caller chooses', () => {
  let ca: TestCa;
  let sidecar: TestSidecar;
  let offload: Offload;
  let strict: TestSidecar;
  let unpermitted: Offload;

  before(async () => {
    ca = createTestCa();
    const identities = {
      manager: { uris: [managerId], dnsNames: ['localhost'] },
      agent: { uris: [agentId] },
    };
    const rule = `uid: ${uid}, identities: [manager, agent]`;
    sidecar = await startTestSidecar({ ca, identities, allow: `[{ ${rule}, pinnedPeers: true }]` });
    strict = await startTestSidecar({
      ca,
      identities,
      allow: `[{ ${rule}, enroll: true, renew: true }]`,
    });
    offload = createOffload({ address: sidecar.address });
    unpermitted = createOffload({ address: strict.address });
  });

  after(async () => {
    await offload.close();
    await unpermitted.close();
    await sidecar.close();
    await strict.close();
  });

  interface SelfSigned {
    readonly key: Buffer;
    readonly cert: Buffer;
    readonly hash: string;
  }

  function selfSigned(
    options: Partial<Parameters<typeof issueCertificate>[0]> = {},
    keys: KeyPair = generateKeyPair('ecdsa-p256'),
  ): SelfSigned {
    const der = issueCertificate({
      subject: encodeName({ commonName: 'a host' }),
      publicKey: keys.publicKey,
      issuer: { privateKey: keys.privateKey },
      notBefore: new Date(Date.now() - hour),
      notAfter: new Date(Date.now() + hour),
      ...options,
    });
    const info = keys.publicKey.export({ type: 'spki', format: 'der' });
    return {
      key: Buffer.from(exportPkcs8Pem(keys.privateKey)),
      cert: toPem([der]),
      hash: `sha256:${createHash('sha256').update(info).digest('hex')}`,
    };
  }

  /** What our client makes of a server of Node's. */
  async function meetServer(
    { key, cert }: Omit<SelfSigned, 'hash'>,
    options: ConnectOptions,
    by = offload,
  ): Promise<OffloadSocket | Record<string, unknown>> {
    const server = createTlsServer({ key, cert, maxVersion: 'TLSv1.2' });
    server.on('tlsClientError', () => undefined);
    const port = await listen(server);
    const socket = by.connect({ host: '127.0.0.1', port, ...options });
    try {
      return await Promise.race([
        failure(socket),
        once(socket, 'secureConnect').then(() => socket),
      ]);
    } finally {
      socket.on('error', () => undefined);
      socket.destroy();
      server.close();
    }
  }

  /** What our server makes of a client of Node's. */
  async function meetClient(
    { key, cert }: Omit<SelfSigned, 'hash'>,
    options: ServerOptions,
  ): Promise<OffloadSocket | Record<string, unknown>> {
    const server = offload.createServer({ identity: 'manager', ...options });
    const port = await listen(server);
    const outcome = new Promise<OffloadSocket | Record<string, unknown>>((resolve) => {
      server.once('secureConnection', resolve);
      server.once('tlsClientError', resolve);
    });
    const client = connectTls({
      ...{ key, cert, port, host: '127.0.0.1', maxVersion: 'TLSv1.2', rejectUnauthorized: false },
    });
    client.on('error', () => undefined);
    try {
      return await outcome;
    } finally {
      client.destroy();
      server.closeAllConnections();
      server.close();
    }
  }

  const both = [
    [
      'server',
      (peer: SelfSigned, pins: readonly string[]) => meetServer(peer, { pinnedPublicKeys: pins }),
    ],
    [
      'client',
      (peer: SelfSigned, pins: readonly string[]) => meetClient(peer, { pinnedPublicKeys: pins }),
    ],
  ] as const;

  for (const [role, meet] of both) {
    describe(`a ${role} by its key`, () => {
      it('is whoever has that key, whatever it is called', async () => {
        const peer = selfSigned();
        const socket = await meet(peer, [
          `sha256:${'ab'.repeat(32)}`,
          peer.hash.toUpperCase().replace('SHA256', 'sha256'),
        ]);
        expect(socket).to.include({
          peerIdentity: undefined,
          peerPublicKeyHash: peer.hash,
          authorized: true,
        });
      });

      for (const kind of ['ecdsa-p384', 'ed25519', 'rsa'] as const) {
        if (kind === 'ed25519' && role === 'client') continue;
        it(`may have a key of kind ${kind}`, async () => {
          const peer = selfSigned({}, generateKeyPair(kind));
          expect(await meet(peer, [peer.hash])).to.include({ peerPublicKeyHash: peer.hash });
        });
      }

      const refusals: readonly (readonly [string, () => SelfSigned & { pin?: string }, string])[] =
        [
          [
            'has another key',
            () => ({ ...selfSigned(), pin: selfSigned().hash }),
            'peer_key_not_pinned',
          ],
          [
            'has expired',
            () => selfSigned({ notAfter: new Date(Date.now() - 60_000) }),
            'peer_certificate_expired',
          ],
          [
            'is not valid yet',
            () => selfSigned({ notBefore: new Date(Date.now() + 600_000) }),
            'peer_certificate_not_yet_valid',
          ],
          [
            'is a CA',
            () => selfSigned({ isCa: true, keyUsage: ['keyCertSign', 'digitalSignature'] }),
            'peer_certificate_is_ca',
          ],
          [
            'is for another use of the key',
            () => selfSigned({ keyUsage: ['keyAgreement'] }),
            'wrong_key_usage',
          ],
          [
            'is for another purpose',
            () =>
              selfSigned({ extendedKeyUsage: [role === 'server' ? 'clientAuth' : 'serverAuth'] }),
            'wrong_extended_key_usage',
          ],
          [
            'is signed with another key than its own',
            () => {
              const keys = generateKeyPair('ecdsa-p256');
              const issuer = { privateKey: generateKeyPair('ecdsa-p256').privateKey };
              return selfSigned({ issuer }, keys);
            },
            'bad_certificate_signature',
          ],
          [
            'is issued by somebody else, even by somebody trusted',
            () => {
              const keyPair = generateKeyPair('ecdsa-p256');
              const issued = ca.issue({ uris: [agentId], keyPair });
              return { ...selfSigned({}, keyPair), cert: issued.certificatePem };
            },
            'peer_not_self_signed',
          ],
          [
            'shows more than one certificate',
            () => {
              const peer = selfSigned();
              return { ...peer, cert: Buffer.concat([peer.cert, ca.pem]) };
            },
            'peer_not_self_signed',
          ],
        ];
      for (const [name, make, reason] of refusals) {
        // OpenSSL has no use for such a certificate itself.
        if (role === 'server' && reason === 'wrong_key_usage') continue;
        it(`is refused when it ${name}`, async () => {
          const peer = make();
          expect(await meet(peer, [peer.pin ?? peer.hash])).to.include({ reason });
        });
      }
    });
  }

  it('are not pinned by callers whose rule does not say so', async () => {
    const peer = selfSigned();
    const refusal = { code: 'ERR_OFFLOAD_POLICY', reason: 'pinned_peers_not_allowed' };
    const options = { pinnedPublicKeys: [peer.hash] };
    expect(await meetServer(peer, options, unpermitted)).to.include(refusal);
    const server = unpermitted.createServer({ identity: 'manager', ...options });
    const port = await listen(server);
    const refused = once(server, 'tlsClientError') as Promise<[Record<string, unknown>]>;
    const client = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false });
    client.on('error', () => undefined);
    expect((await refused)[0]).to.include(refusal);
    client.destroy();
    server.close();
  });

  it('are not pinned by whoever runs the sidecar without a rule either', async () => {
    const plain = await startTestSidecar({ ca });
    const own = createOffload({ address: plain.address });
    const peer = selfSigned();
    expect(await meetServer(peer, { pinnedPublicKeys: [peer.hash] }, own)).to.include({
      reason: 'pinned_peers_not_allowed',
    });
    await own.close();
    await plain.close();
  });

  it('do not resume what was made with a pin, nor the reverse', async () => {
    const server = { identity: 'manager' } as const;
    const client = { identity: 'agent', targetIdentities: [managerId] } as const;
    // Tickets there are, for others.
    for (const resumed of [false, true]) {
      const pair = await securePair(offload, { server, client });
      expect(pair.client.isSessionReused()).to.equal(resumed);
      await pair.close();
    }
    const peer = selfSigned();
    const listener = createTlsServer({ ...peer, maxVersion: 'TLSv1.2' });
    listener.on('tlsClientError', () => undefined);
    const port = await listen(listener);
    const pins = { port, host: '127.0.0.1', pinnedPublicKeys: [peer.hash] };
    for (let attempt = 0; attempt < 3; attempt += 1) {
      const socket = offload.connect(pins);
      await once(socket, 'secureConnect');
      expect(socket.isSessionReused()).to.equal(false);
      socket.destroy();
    }
    const plain = offload.connect({ port, host: '127.0.0.1', servername: 'localhost' });
    expect(await failure(plain)).to.include({ phase: 'handshake' });
    listener.close();
  });

  it('give no ticket to a client that is pinned', async () => {
    const peer = selfSigned();
    const server = offload.createServer({ identity: 'manager', pinnedPublicKeys: [peer.hash] });
    const port = await listen(server);
    const client = connectTls({
      ...{ ...peer, port, host: '127.0.0.1', maxVersion: 'TLSv1.2', rejectUnauthorized: false },
    });
    await once(client, 'secureConnect');
    expect(client.getTLSTicket()).to.equal(undefined);
    client.destroy();
    server.closeAllConnections();
    server.close();
  });

  for (const [name, options] of [
    ['a hash that is cut short', { pinnedPublicKeys: ['sha256:abcd'] }],
    ['a hash of another kind', { pinnedPublicKeys: [`sha1:${'ab'.repeat(20)}`] }],
    ['no hash at all', { pinnedPublicKeys: [] }],
  ] as const) {
    it(`are not told by ${name}`, () => {
      expect(() => offload.connect({ port: 1, ...options })).to.throw(TypeError);
      expect(() => offload.createServer(options)).to.throw(TypeError);
    });
  }

  describe('by their role', () => {
    async function meetRole(
      client: ConnectOptions,
      server: ServerOptions,
    ): Promise<{ readonly atClient: unknown; readonly atServer: unknown }> {
      const listener = offload.createServer(server);
      const port = await listen(listener);
      const atServer = new Promise((resolve) => {
        listener.once('secureConnection', (socket: OffloadSocket) => {
          resolve(socket.peerIdentity);
        });
        listener.once('tlsClientError', resolve);
      });
      const socket = offload.connect({
        port,
        host: '127.0.0.1',
        servername: 'localhost',
        ...client,
      });
      const atClient = await Promise.race([
        failure(socket),
        once(socket, 'secureConnect').then(() => socket.peerIdentity),
      ]);
      socket.on('error', () => undefined);
      const outcome = { atClient, atServer: await atServer };
      socket.destroy();
      listener.closeAllConnections();
      listener.close();
      return outcome;
    }

    const managers = 'spiffe://test/manager/*';
    for (const [name, allowed] of [
      ['its ID', managerId],
      ['its role', managers],
    ] as const) {
      it(`lets a client in by ${name}, and refuses another before it is done`, async () => {
        const server = { identity: 'agent', allowedPeers: [allowed] };
        for (const again of ['in full', 'once more']) {
          const good = await meetRole({ identity: 'manager', targetIdentities: [agentId] }, server);
          expect(good, again).to.deep.equal({ atClient: agentId, atServer: managerId });
        }
        const bad = await meetRole({ identity: 'agent', targetIdentities: [agentId] }, server);
        expect(bad.atServer).to.include({
          reason: 'peer_identity_mismatch',
          alert: 'access_denied',
          phase: 'handshake',
        });
        // Its Finished never came.
        expect(bad.atClient).to.have.property('message').that.contains('access_denied');
      });

      it(`takes a server by ${name}, and refuses another`, async () => {
        const client = { identity: 'agent', targetIdentities: [allowed] };
        const good = await meetRole(client, { identity: 'manager' });
        expect(good.atClient).to.equal(managerId);
        const bad = await meetRole(client, { identity: 'agent' });
        expect(bad.atClient).to.include({
          reason: 'peer_identity_mismatch',
          alert: 'access_denied',
        });
        expect(bad.atServer).to.have.property('message').that.contains('access_denied');
      });
    }

    it('refuses a session of a client that was let in before', async () => {
      const client = { identity: 'agent', targetIdentities: [managerId] };
      await meetRole(client, { identity: 'manager' });
      const good = await meetRole(client, { identity: 'manager' });
      expect(good.atServer).to.equal(agentId);
      const bad = await meetRole(client, { identity: 'manager', allowedPeers: [managers] });
      expect(bad.atServer).to.include({ reason: 'peer_identity_mismatch' });
    });

    it('refuses a client without a certificate, whatever the policy', async () => {
      const bad = await meetRole(
        { anonymous: true, targetIdentities: [managerId] },
        { identity: 'manager', allowedPeers: [managers] },
      );
      expect(bad.atServer).to.include({ reason: 'client_certificate_required' });
      const asked = await meetRole(
        { identity: 'agent', targetIdentities: [managerId] },
        { identity: 'manager', allowedPeers: [managers], clientAuth: 'request' },
      );
      expect(asked.atServer).to.include({ reason: 'invalid_request' });
    });

    for (const pattern of [
      'spiffe://test/*',
      'spiffe://te*t/manager/1',
      '*',
      'spiffe://test/*/1',
      'test/manager/*',
    ]) {
      it(`does not take ${pattern} for an ID or a role`, async () => {
        const server: ServerOptions = { identity: 'manager', allowedPeers: [pattern] };
        let outcome: unknown;
        try {
          const client = { identity: 'agent', targetIdentities: [managerId] };
          outcome = (await meetRole(client, server)).atServer;
        } catch (error) {
          outcome = error;
        }
        if (!(outcome instanceof TypeError))
          expect(outcome).to.include({ reason: 'invalid_request' });
      });
    }

    it('means one segment by /*', async () => {
      const client = { identity: 'agent', targetIdentities: ['spiffe://test/manager/1/*'] };
      expect((await meetRole(client, { identity: 'manager' })).atClient).to.include({
        reason: 'peer_identity_mismatch',
      });
    });
  });

  describe('by the application protocol', () => {
    const reverse = 'sidekey-reverse-h2/1';
    const client = { identity: 'agent', targetIdentities: [managerId] };

    it('agrees on one of our own in both roles, in full and resumed', async () => {
      for (const resumed of [false, true]) {
        const pair = await securePair(offload, {
          client: { ...client, ALPNProtocols: [reverse, 'h2'], requireApplicationProtocol: true },
          server: {
            identity: 'manager',
            ALPNProtocols: [reverse],
            requireApplicationProtocol: true,
          },
        });
        expect(pair.client.alpnProtocol).to.equal(reverse);
        expect(pair.server.alpnProtocol).to.equal(reverse);
        expect(pair.client.isSessionReused()).to.equal(resumed);
        await pair.close();
      }
    });

    const rows: readonly (readonly [string, ConnectOptions, ServerOptions])[] = [
      [
        'a client that offers others only',
        { ALPNProtocols: ['h2'] },
        { ALPNProtocols: [reverse], requireApplicationProtocol: true },
      ],
      [
        'a client that offers none',
        {},
        { ALPNProtocols: [reverse], requireApplicationProtocol: true },
      ],
      [
        'a server that knows of none',
        { ALPNProtocols: [reverse], requireApplicationProtocol: true },
        {},
      ],
    ];
    for (const [name, connect, serve] of rows) {
      it(`refuses ${name}`, async () => {
        const listener = offload.createServer({ identity: 'manager', ...serve });
        const port = await listen(listener);
        const refused = once(listener, 'tlsClientError') as Promise<[Record<string, unknown>]>;
        const socket = offload.connect({ port, host: '127.0.0.1', ...client, ...connect });
        const atClient = await failure(socket);
        const [atServer] = await refused;
        listener.close();
        for (const error of [atClient, atServer]) {
          expect(error)
            .to.have.property('message')
            .that.matches(/application.protocol/);
        }
      });
    }

    it('goes on without one where none is required', async () => {
      const pair = await securePair(offload, {
        client: { ...client },
        server: { identity: 'manager', ALPNProtocols: [reverse] },
      });
      expect(pair.server.alpnProtocol).to.equal(false);
      await pair.close();
    });

    it('needs to be told which', async () => {
      const listener = createTlsServer();
      const port = await listen(listener);
      const asked = offload.connect({
        port,
        host: '127.0.0.1',
        ...client,
        requireApplicationProtocol: true,
      });
      expect(await failure(asked)).to.include({ reason: 'invalid_request' });
      listener.close();
    });
  });
});
