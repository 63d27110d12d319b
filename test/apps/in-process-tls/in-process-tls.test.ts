import { expect } from 'chai';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import {
  ListIdentitiesResponse,
  WorkloadServiceService,
} from '../../../src/gen/sidekey/v1/workload.ts';
import { createAuthorityDialler } from '../../../src/apps/in-process-tls/dial-authority.ts';
import {
  TlsAcceptor,
  type TlsAcceptorOptions,
} from '../../../src/apps/in-process-tls/tls-acceptor.ts';
import {
  createTrustAnchors,
  issueCertificate,
  parseCertificate,
  spiffeIdOf,
  verifyChain,
} from '../../../src/pki/index.ts';
import { GrpcChannel } from '../../../src/rpc/client/grpc-channel.ts';
import { unary } from '../../../src/rpc/client/unary.ts';
import { RpcServer } from '../../../src/rpc/server.ts';
import { joinKeyAndChain } from '../../../src/sidecar/index.ts';
import { createTestCa, type IssuedIdentity } from '../../support/test-ca.ts';

const ca = createTestCa();
const authorityLeaf = ca.issue({ uris: ['spiffe://example.org/authority/a'], intermediate: true });
const agentLeaf = ca.issue({ uris: ['spiffe://example.org/agent/1'] });
const expectation = { trustDomain: 'example.org', roots: [ca.certificate], intermediates: [] };
const dial = createAuthorityDialler({ now: () => new Date() });
const limits = {
  connections: 100,
  connectionsPerSource: 100,
  handshakes: 4,
  handshakesPerSecondPerSource: 1000,
  handshakeTimeoutMs: 5000,
};

function keyOf(issued: IssuedIdentity) {
  return joinKeyAndChain(
    'test',
    issued.chain.map((der) => parseCertificate(der)),
    issued.privateKey,
  );
}

const open: (() => Promise<void> | void)[] = [];

interface Running {
  readonly address: string;
  readonly port: number;
  readonly acceptor: TlsAcceptor<string>;
  readonly refusals: Error[];
}

/** An acceptor behind a gRPC server whose one call answers who calls. */
async function serve(changes: Partial<TlsAcceptorOptions<string>> = {}): Promise<Running> {
  const rpc = new RpcServer<{ readonly peer: string | undefined }>({
    maxReceiveBytes: 65_536,
    maxConnections: 10,
    maxStreamsPerConnection: 10,
    readCredentials: () => undefined,
    now: () => new Date(),
  });
  rpc.grpc.addService(WorkloadServiceService, {
    listIdentities: (call: any, callback: any) => {
      const name = rpc.connection(call.getPeer())?.listener.peer ?? 'nobody';
      callback(null, ListIdentitiesResponse.fromPartial({ identities: [{ name }] }));
    },
  });
  const anchors = createTrustAnchors([ca.parsed]);
  const acceptor = new TlsAcceptor<string>({
    credential: () => keyOf(authorityLeaf),
    clientAuth: () => 'require',
    certificateAuthorities: () => [ca.parsed.subject],
    judge: (certificates) => {
      const { leaf } = verifyChain({ certificates, anchors, now: new Date(), purpose: 'client' });
      const identity = spiffeIdOf(leaf);
      return { leaf, peer: identity ?? '', identity };
    },
    limits,
    now: () => new Date(),
    ...changes,
  });
  const refusals: Error[] = [];
  const server: Server = createServer((raw) => {
    raw.on('error', () => raw.destroy());
    acceptor.accept(raw).then(
      ({ stream, peer }) => {
        rpc.inject(stream, { peer }, () => undefined);
      },
      (error: unknown) => refusals.push(error as Error),
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  open.push(async () => {
    acceptor.destroyAll();
    rpc.destroy();
    server.close();
    await once(server, 'close');
  });
  return { address: `127.0.0.1:${String(port)}`, port, acceptor, refusals };
}

async function whoAmI(address: string, credential = agentLeaf): Promise<string> {
  const channel = new GrpcChannel({
    connect: () => dial([address], credential, expectation, new AbortController().signal),
    closedError: () => new Error('closed'),
    peer: 'authority',
  });
  try {
    const { identities } = await unary(channel, WorkloadServiceService.listIdentities, {});
    return identities[0]!.name;
  } finally {
    await channel.close();
  }
}

async function rejection(promise: Promise<unknown>): Promise<Error & Record<string, unknown>> {
  try {
    await promise;
  } catch (error) {
    return error as Error & Record<string, unknown>;
  }
  throw new Error('it resolves');
}

/** How a stock client's handshake ends: the protocol, or the code of its error. */
async function stockClient(port: number, options: ConnectionOptions = {}): Promise<string> {
  const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options });
  return await new Promise((resolve) => {
    socket.on('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code ?? error.message);
    });
    socket.on('secureConnect', () => {
      resolve(socket.getProtocol() ?? '');
      socket.destroy();
    });
  });
}

describe('TLS in the process of an authority', () => {
  afterEach(async () => {
    for (const close of open.splice(0)) await close();
  });

  it('carries gRPC, and tells the service who calls', async () => {
    const { address } = await serve();
    expect(await whoAmI(address)).to.equal('spiffe://example.org/agent/1');
  });

  it('keeps many connections apart', async () => {
    const { address } = await serve();
    const names = Array.from(
      { length: 12 },
      (_, index) => `spiffe://example.org/agent/${String(index)}`,
    );
    const answers = await Promise.all(
      names.map((uri) => whoAmI(address, ca.issue({ uris: [uri] }))),
    );
    expect(answers).to.deep.equal(names);
  });

  it('takes the next address when one does not answer', async () => {
    const { address } = await serve();
    const { port } = await unused();
    const stream = await dial(
      [`127.0.0.1:${String(port)}`, address],
      agentLeaf,
      expectation,
      new AbortController().signal,
    );
    stream.destroy();
  });

  it('says of every address what was wrong', async () => {
    const { address } = await serve({ credential: () => keyOf(agentLeaf) });
    const { port } = await unused();
    const error = await rejection(
      dial(
        [`127.0.0.1:${String(port)}`, address],
        agentLeaf,
        expectation,
        new AbortController().signal,
      ),
    );
    expect(error.message).to.match(/ECONNREFUSED.*; 127.*is not an authority of example\.org/u);
  });

  for (const [name, make] of [
    ['of another trust domain', () => ca.issue({ uris: ['spiffe://other.org/authority/a'] })],
    ['of another CA', () => createTestCa().issue({ uris: ['spiffe://example.org/authority/a'] })],
    [
      'that has ended',
      () =>
        ca.issue({
          uris: ['spiffe://example.org/authority/a'],
          notAfter: new Date(Date.now() - 1000),
        }),
    ],
  ] as const) {
    it(`does not talk to an authority with a certificate ${name}`, async () => {
      const foreign = keyOf(make());
      const { address, refusals } = await serve({ credential: () => foreign });
      await rejection(whoAmI(address));
      while (refusals.length === 0) await new Promise(setImmediate);
      expect(refusals).to.have.length(1);
    });
  }

  it('follows an intermediate of the bundle to a root it does not know', async () => {
    const { address } = await serve();
    const old = createTestCa({ name: 'Older Root' });
    const roots = [old.certificate];
    const error = await rejection(dial([address], agentLeaf, { ...expectation, roots }, never()));
    expect(error['reason']).to.equal('unknown_issuer');
    const cross = issueCertificate({
      subject: ca.parsed.subject,
      publicKey: ca.parsed.publicKey,
      issuer: { certificate: old.parsed, privateKey: old.privateKey },
      notBefore: ca.parsed.notBefore,
      notAfter: ca.parsed.notAfter,
      isCa: true,
    });
    const stream = await dial(
      [address],
      agentLeaf,
      { ...expectation, roots, intermediates: [cross] },
      never(),
    );
    stream.destroy();
  });

  it('gives up when told to', async () => {
    const silent = createServer();
    silent.listen(0, '127.0.0.1');
    await once(silent, 'listening');
    open.push(() => void silent.close());
    const abort = new AbortController();
    const { port } = silent.address() as AddressInfo;
    const dialled = dial([`127.0.0.1:${String(port)}`], agentLeaf, expectation, abort.signal);
    const [raw] = (await once(silent, 'connection')) as [NodeJS.ReadableStream];
    abort.abort(new Error('enough'));
    expect((await rejection(dialled)).message).to.equal('enough');
    raw.resume();
    await once(raw, 'end');
  });

  describe('to stock clients', () => {
    it('is closed to those without a certificate', async () => {
      const { port, refusals } = await serve();
      expect(await stockClient(port, { ALPNProtocols: ['h2'] })).to.match(
        /^ERR_SSL_.*ALERT_HANDSHAKE_FAILURE$/u,
      );
      expect(refusals[0]).to.include({ reason: 'client_certificate_required' });
    });

    it('is closed to those with a certificate of another CA', async () => {
      const { port, refusals } = await serve();
      const { certificatePem: cert, privateKeyPem: key } = createTestCa().issue({
        uris: ['spiffe://example.org/agent/1'],
      });
      expect(await stockClient(port, { ALPNProtocols: ['h2'], cert, key })).to.equal(
        'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA',
      );
      expect(refusals).to.have.length(1);
    });

    it('speaks TLS 1.2 to those it lets in', async () => {
      const { port } = await serve();
      const { certificatePem: cert, privateKeyPem: key } = agentLeaf;
      expect(await stockClient(port, { ALPNProtocols: ['h2'], cert, key })).to.equal('TLSv1.2');
    });

    it('counts those that offer an old version, by address', async () => {
      const { port, acceptor } = await serve();
      for (let times = 0; times < 2; times += 1) {
        const code = await stockClient(port, {
          minVersion: 'TLSv1.1',
          maxVersion: 'TLSv1.1',
          ciphers: 'DEFAULT@SECLEVEL=0',
        });
        expect(code).to.contain('PROTOCOL_VERSION');
      }
      expect(acceptor.attempts.list()).to.deep.equal([
        { peer: '127.0.0.1', offered: 'TLSv1.1', count: 2 },
      ]);
    });
  });

  describe('bounds', () => {
    it('handshakes in time', async () => {
      const { port, refusals, acceptor } = await serve({
        limits: { ...limits, handshakeTimeoutMs: 50 },
      });
      const socket = connect(port, '127.0.0.1');
      socket.resume();
      await once(socket, 'close');
      expect(refusals[0]).to.include({ code: 'ERR_TLS_HANDSHAKE_TIMEOUT' });
      expect(acceptor.connections).to.equal(0);
    });

    for (const [name, changes, message] of [
      ['all connections', { connections: 2 }, 'too many connections'],
      ['those of one source', { connectionsPerSource: 2 }, 'too many connections of one source'],
      ['handshakes', { handshakesPerSecondPerSource: 2 }, 'too many handshakes of one source'],
    ] as const) {
      it(`${name} in number`, async () => {
        const { port, refusals } = await serve({ limits: { ...limits, ...changes } });
        const sockets = [1, 2, 3].map(() => connect(port, '127.0.0.1').resume());
        await Promise.race(sockets.map((socket) => once(socket, 'close')));
        expect(refusals.map((error) => error.message)).to.deep.equal([message]);
        for (const socket of sockets) socket.destroy();
      });
    }
  });

  it('ends the connections of a peer that is revoked, and only those', async () => {
    const { address, acceptor } = await serve();
    const other = ca.issue({ uris: ['spiffe://example.org/agent/2'] });
    const streams = await Promise.all(
      [agentLeaf, other].map((leaf) => dial([address], leaf, expectation, never())),
    );
    const [revoked, kept] = streams;
    revoked!.resume();
    const failed = once(revoked!, 'error') as Promise<[Record<string, unknown>]>;
    const serial = parseCertificate(agentLeaf.chain[0]!).serialNumber;
    expect(
      acceptor.livePeers.revoke([
        { serial, issuer: new Uint8Array(), spiffeId: '', reason: 'keyCompromise' },
      ]),
    ).to.equal(1);
    const [error] = await failed;
    expect(error).to.include({ code: 'ERR_OFFLOAD_PEER_ALERT', alert: 'certificate_revoked' });
    expect(kept!.destroyed).to.equal(false);
    kept!.destroy();
  });
});

function never(): AbortSignal {
  return new AbortController().signal;
}

/** A port nobody listens on. */
async function unused(): Promise<AddressInfo> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return address;
}
