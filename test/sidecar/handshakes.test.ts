import { expect } from 'chai';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import {
  connect as tlsConnect,
  type ConnectionOptions,
  createServer as createTlsServer,
  type TLSSocket,
  type TlsOptions,
} from 'node:tls';
import { createTestCa, type IssuedIdentity, type IssueOptions, toPem } from '../support/test-ca.ts';
import { startTestSidecar, type TestSidecar } from './fixture.ts';
import { ByteSource } from './model-callers/byte-source.ts';
import { CallerError, type CallerResult, goClient, goServer } from './model-callers/s2a-go.ts';
import { connectWire, type WireClient, type WireMessage } from './model-callers/wire.ts';

describe('handshakes with node:tls peers', () => {
  let sidecar: TestSidecar;
  let wire: WireClient;
  let peer: IssuedIdentity;
  const closing: (() => void)[] = [];

  before(async () => {
    sidecar = await startTestSidecar({
      identities: {
        ecdsa: { dnsNames: ['ecdsa.example.org'], intermediate: true },
        p384: { dnsNames: ['p384.example.org'], keyKind: 'ecdsa-p384' },
        ed25519: { dnsNames: ['ed25519.example.org'], keyKind: 'ed25519' },
        rsa: { dnsNames: ['rsa.example.org'], keyKind: 'rsa' },
      },
      extra: 'tls: { clientAuth: none }\n',
    });
    wire = connectWire(sidecar.address);
    peer = sidecar.ca.issue({ dnsNames: ['peer.example.org'], ipAddresses: ['127.0.0.1'] });
  });

  afterEach(() => {
    for (const close of closing.splice(0)) close();
  });

  after(async () => {
    wire.close();
    await sidecar.close();
  });

  async function asServer(
    start: WireMessage,
    options: ConnectionOptions = {},
  ): Promise<{ outcome: CallerResult | CallerError; socket: TLSSocket }> {
    const listener: Server = createServer().listen(0, '127.0.0.1');
    await once(listener, 'listening');
    closing.push(() => listener.close());
    const socket = tlsConnect({
      port: (listener.address() as AddressInfo).port,
      host: '127.0.0.1',
      ca: sidecar.ca.pem,
      servername: 'ecdsa.example.org',
      maxVersion: 'TLSv1.2',
      ...options,
    });
    socket.on('error', () => undefined);
    const [accepted] = (await once(listener, 'connection')) as [Socket];
    closing.push(
      () => socket.destroy(),
      () => accepted.destroy(),
    );
    const source = new ByteSource(accepted);
    return { outcome: await settle(goServer({ wire, socket: accepted, source, start })), socket };
  }

  async function asClient(
    start: WireMessage,
    options: TlsOptions = {},
  ): Promise<{ outcome: CallerResult | CallerError; socket: TLSSocket | undefined }> {
    let socket: TLSSocket | undefined;
    const server = createTlsServer(
      {
        key: peer.privateKeyPem,
        cert: peer.certificatePem,
        ca: sidecar.ca.pem,
        requestCert: true,
        rejectUnauthorized: false,
        maxVersion: 'TLSv1.2',
        ALPNProtocols: ['h2'],
        ...options,
      },
      (secure) => (socket = secure),
    );
    server.on('tlsClientError', () => undefined);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const raw = connect((server.address() as AddressInfo).port, '127.0.0.1');
    await once(raw, 'connect');
    closing.push(
      () => server.close(),
      () => raw.destroy(),
    );
    const outcome = await settle(
      goClient({ wire, socket: raw, source: new ByteSource(raw), start }),
    );
    return { outcome, socket };
  }

  function result(outcome: CallerResult | CallerError): WireMessage {
    if (outcome instanceof CallerError) throw outcome;
    return outcome.result;
  }

  for (const name of ['ecdsa', 'p384', 'ed25519', 'rsa']) {
    it(`shows the identity the client asked for by name: ${name}`, async () => {
      const { outcome, socket } = await asServer({}, { servername: `${name}.example.org` });
      expect(result(outcome)['local_identity']).to.include({ hostname: `${name}.example.org` });
      expect(result(outcome)['server_name']).to.equal(`${name}.example.org`);
      if (!socket.authorized && socket.connecting) await once(socket, 'secureConnect');
      expect(socket.getPeerCertificate().subjectaltname).to.equal(`DNS:${name}.example.org`);
    });

    it(`signs as a client with ${name}`, async () => {
      const { outcome } = await asClient({ target_name: 'peer.example.org', identity_name: name });
      expect(result(outcome)['local_identity']).to.include({ hostname: `${name}.example.org` });
    });
  }

  it('shows nothing but what the caller allows', async () => {
    const { outcome } = await asServer(
      { identity_names: ['rsa'] },
      { servername: 'ecdsa.example.org' },
    );
    expect(result(outcome)['local_identity']).to.include({ hostname: 'rsa.example.org' });
  });

  describe('who the peer has to be', () => {
    const peers: {
      name: string;
      start: WireMessage;
      issue?: IssueOptions;
      foreign?: boolean;
      reason?: string;
      alert?: number;
    }[] = [
      { name: 'the host by name', start: { target_name: 'peer.example.org' } },
      { name: 'the host by name with port', start: { target_name: 'PEER.example.org.:443' } },
      { name: 'the host by address', start: { target_name: '127.0.0.1:443' } },
      {
        name: 'another host',
        start: { target_name: 'other.example.org' },
        reason: 'name_mismatch',
        alert: 42,
      },
      {
        name: 'another address',
        start: { target_name: '127.0.0.2' },
        reason: 'name_mismatch',
        alert: 42,
      },
      {
        name: 'one of several identities',
        start: {
          target_name: 'other.example.org',
          target_identities: [{ spiffe_id: 'spiffe://a/b' }, { hostname: 'Peer.Example.org' }],
        },
      },
      {
        name: 'none of the identities',
        start: { target_identities: [{ hostname: 'other.example.org' }] },
        reason: 'peer_identity_mismatch',
        alert: 49,
      },
      {
        name: 'one with a SPIFFE ID like another',
        start: { target_identities: [{ spiffe_id: 'spiffe://example.org/service/peer' }] },
        issue: { uris: ['spiffe://example.org/service/peer2'] },
        reason: 'peer_identity_mismatch',
        alert: 49,
      },
      {
        name: 'one with the SPIFFE ID wanted',
        start: { target_identities: [{ spiffe_id: 'spiffe://example.org/service/peer' }] },
        issue: { uris: ['spiffe://example.org/service/peer'] },
      },
      {
        name: 'one of a CA that is not trusted',
        start: { target_name: 'peer.example.org' },
        foreign: true,
        reason: 'unknown_issuer',
        alert: 48,
      },
      {
        name: 'one whose certificate is over',
        start: { target_name: 'peer.example.org' },
        issue: {
          dnsNames: ['peer.example.org'],
          notBefore: new Date(Date.now() - 7_200_000),
          notAfter: new Date(Date.now() - 3_600_000),
        },
        reason: 'peer_certificate_expired',
        alert: 45,
      },
      {
        name: 'one whose certificate is for clients',
        start: { target_name: 'peer.example.org' },
        issue: { dnsNames: ['peer.example.org'], eku: ['clientAuth'] },
        alert: 43,
      },
    ];
    for (const { name, start, issue, foreign, reason, alert } of peers) {
      it(`${alert === undefined ? 'takes' : 'refuses'} ${name}`, async () => {
        const ca = foreign === true ? createTestCa({ name: 'Foreign' }) : sidecar.ca;
        const issued =
          issue === undefined && foreign !== true
            ? peer
            : ca.issue(issue ?? { dnsNames: ['peer.example.org'] });
        const before = sidecar.log.length;
        const { outcome } = await asClient(start, {
          key: issued.privateKeyPem,
          cert: issued.certificatePem,
        });
        if (alert === undefined) {
          expect(result(outcome)['peer_cert_fingerprint']).to.have.length(32);
          return;
        }
        expect(outcome).to.be.instanceOf(CallerError);
        const failures = sidecar.log.slice(before).filter(({ msg }) => msg === 'handshake failed');
        expect(failures).to.have.length(1);
        expect(failures[0]).to.have.property('alert', alertNames[alert]);
        expect(failures[0]).to.have.property('handshake').that.is.a('string');
        if (reason !== undefined) expect(failures[0]).to.include({ reason });
      });
    }
  });

  describe('client certificates', () => {
    const withCertificate = () => ({ key: peer.privateKeyPem, cert: peer.certificatePem });

    for (const { name, mode, options, peerNamed, ok } of [
      {
        name: 'none when they are not asked for',
        mode: 1,
        options: withCertificate,
        peerNamed: false,
        ok: true,
      },
      { name: 'one when asked for', mode: 2, options: withCertificate, peerNamed: true, ok: true },
      { name: 'none although asked for', mode: 2, options: () => ({}), peerNamed: false, ok: true },
      { name: 'one when required', mode: 3, options: withCertificate, peerNamed: true, ok: true },
      { name: 'none although required', mode: 3, options: () => ({}), peerNamed: false, ok: false },
    ]) {
      it(`${ok ? 'takes' : 'refuses'} ${name}`, async () => {
        const { outcome } = await asServer({ client_auth: mode }, options());
        if (ok) expect('peer_identity' in result(outcome)).to.equal(peerNamed);
        else expect(outcome).to.be.instanceOf(CallerError);
      });
    }

    it('refuses one of a CA that is not trusted', async () => {
      const foreign = createTestCa({ name: 'Foreign' }).issue({ dnsNames: ['x.example.org'] });
      const { outcome } = await asServer(
        { client_auth: 2 },
        { key: foreign.privateKeyPem, cert: foreign.certificatePem },
      );
      expect(outcome).to.be.instanceOf(CallerError);
    });

    it('shows none to a server although asked, if the caller wants to stay anonymous', async () => {
      const { outcome } = await asClient({ target_name: 'peer.example.org', anonymous: true });
      expect(result(outcome)['local_identity']).to.deep.equal({});
      expect(result(outcome)).to.not.have.property('local_cert_fingerprint');
    });
  });

  describe('resumption of server sessions (RFC 5077)', () => {
    async function connectTwice(
      between: () => void,
      second: WireMessage = {},
    ): Promise<{ first: boolean; second: boolean }> {
      const one = await asServer({});
      if (!one.socket.authorized) await once(one.socket, 'secureConnect');
      const session = one.socket.getSession();
      between();
      const two = await asServer(second, session === undefined ? {} : { session });
      return { first: resumed(result(one.outcome)), second: resumed(result(two.outcome)) };
    }

    it('resumes', async () => {
      expect(await connectTwice(() => undefined)).to.deep.equal({ first: false, second: true });
    });

    it('does not resume under another trust bundle', async () => {
      const outcome = await connectTwice(() => {
        const bundle = toPem([
          sidecar.ca.certificate,
          createTestCa({ name: 'Second' }).certificate,
        ]);
        writeFileSync(join(sidecar.directory, 'roots.pem'), bundle);
        sidecar.sidecar.reload();
      });
      expect(outcome).to.deep.equal({ first: false, second: false });
    });

    it('does not resume for an application that shows other identities', async () => {
      const outcome = await connectTwice(() => undefined, { identity_names: ['ecdsa'] });
      expect(outcome).to.deep.equal({ first: false, second: false });
    });

    it('does not resume for an application that asks more of clients', async () => {
      const outcome = await connectTwice(() => undefined, { client_auth: 2 });
      expect(outcome).to.deep.equal({ first: false, second: false });
    });
  });

  it('reports the wire’s h2 as grpc only to callers that say grpc', async () => {
    for (const [protocols, reported] of [
      [['grpc'], 'grpc'],
      [['h2'], 'h2'],
      [['h2', 'grpc'], 'h2'],
    ] as const) {
      const { outcome } = await asClient({
        target_name: 'peer.example.org',
        application_protocols: protocols,
      });
      expect(result(outcome)['application_protocol']).to.equal(reported);
    }
  });

  it('uses the suites the caller names only', async () => {
    for (const suite of [0, 1, 2]) {
      const { outcome } = await asClient({
        target_name: 'peer.example.org',
        tls_ciphersuites: [suite],
      });
      expect(result(outcome)['state'].tls_ciphersuite ?? 0).to.equal(suite);
    }
  });
});

const alertNames: Readonly<Record<number, string>> = {
  42: 'bad_certificate',
  43: 'unsupported_certificate',
  45: 'certificate_expired',
  48: 'unknown_ca',
  49: 'access_denied',
};

function resumed(result: WireMessage): boolean {
  return (result['state'].is_handshake_resumed as boolean | undefined) ?? false;
}

async function settle(promise: Promise<CallerResult>): Promise<CallerResult | CallerError> {
  try {
    return await promise;
  } catch (error) {
    if (error instanceof CallerError) return error;
    throw error;
  }
}
