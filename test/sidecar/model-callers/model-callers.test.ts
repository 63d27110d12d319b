import { expect } from 'chai';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import {
  connect as tlsConnect,
  createServer as createTlsServer,
  type Server as TlsServer,
  type TLSSocket,
} from 'node:tls';
import type { IssuedIdentity } from '../../support/test-ca.ts';
import { startTestSidecar, type TestSidecar } from '../fixture.ts';
import { ByteSource } from './byte-source.ts';
import { ModelRecordLayer } from './record-layer.ts';
import { coreClient, coreServer } from './s2a-core.ts';
import {
  CallerError,
  type CallerOptions,
  type CallerResult,
  goClient,
  goServer,
} from './s2a-go.ts';
import { connectWire, type WireClient } from './wire.ts';

const models = [
  { name: 'as s2a-go does', client: goClient, server: goServer },
  { name: 'as s2a-core does', client: coreClient, server: coreServer },
];

describe('model callers of S2A v1', () => {
  let sidecar: TestSidecar;
  let wire: WireClient;
  let peer: IssuedIdentity;
  const closing: (() => void)[] = [];

  before(async () => {
    sidecar = await startTestSidecar();
    peer = sidecar.ca.issue({
      dnsNames: ['peer.example.org'],
      uris: ['spiffe://example.org/service/peer'],
    });
    wire = connectWire(sidecar.address);
  });

  afterEach(() => {
    for (const close of closing.splice(0)) close();
  });

  after(async () => {
    wire.close();
    await sidecar.close();
  });

  async function stockServer(options: object = {}): Promise<{ server: TlsServer; port: number }> {
    const server = createTlsServer({
      key: peer.privateKeyPem,
      cert: peer.certificatePem,
      ca: sidecar.ca.pem,
      requestCert: true,
      rejectUnauthorized: true,
      maxVersion: 'TLSv1.2',
      ALPNProtocols: ['h2'],
      ...options,
    });
    server.on('tlsClientError', () => undefined);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    closing.push(() => server.close());
    return { server, port: (server.address() as AddressInfo).port };
  }

  async function dial(port: number): Promise<{ socket: Socket; source: ByteSource }> {
    const socket = connect(port, '127.0.0.1');
    const source = new ByteSource(socket);
    await once(socket, 'connect');
    closing.push(() => socket.destroy());
    return { socket, source };
  }

  /** A TCP listener whose first connection is answered by a model caller. */
  async function offloadedServer(): Promise<{ server: Server; port: number }> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    closing.push(() => server.close());
    return { server, port: (server.address() as AddressInfo).port };
  }

  function stockClient(port: number, options: object = {}): TLSSocket {
    const socket = tlsConnect({
      port,
      host: '127.0.0.1',
      servername: 'web.example.org',
      key: peer.privateKeyPem,
      cert: peer.certificatePem,
      ca: sidecar.ca.pem,
      maxVersion: 'TLSv1.2',
      ALPNProtocols: ['h2'],
      ...options,
    });
    socket.on('error', () => undefined);
    closing.push(() => socket.destroy());
    return socket;
  }

  for (const { name, client, server } of models) {
    describe(name, () => {
      for (const readLimit of [65_536, 100]) {
        it(`shakes hands as a client, ${String(readLimit)} bytes a read`, async () => {
          const { server: stock, port } = await stockServer();
          const accepted = once(stock, 'secureConnection') as Promise<[TLSSocket]>;
          const { socket, source } = await dial(port);
          const { result, leftover } = await client({
            wire,
            socket,
            source,
            readLimit,
            start: { target_name: 'peer.example.org:443' },
          });
          const [stockSocket] = await accepted;
          expect(stockSocket.authorized).to.equal(true);
          expect(result['application_protocol']).to.equal('grpc');
          expect(result['peer_identity']).to.include({
            spiffe_id: 'spiffe://example.org/service/peer',
          });
          expect(result['local_identity']).to.include({
            spiffe_id: 'spiffe://example.org/service/web',
          });
          await expectEcho(new ModelRecordLayer(socket, source, result, leftover), stockSocket);
        });

        it(`shakes hands as a server, ${String(readLimit)} bytes a read`, async () => {
          const { server: listener, port } = await offloadedServer();
          const stockSocket = stockClient(port);
          const { socket, source, done } = await accept(listener, server, { wire, readLimit });
          const { result, leftover } = await done;
          await once(stockSocket, 'secureConnect');
          expect(stockSocket.authorized).to.equal(true);
          expect(stockSocket.alpnProtocol).to.equal('h2');
          expect(result['application_protocol']).to.equal('grpc');
          expect(result['peer_identity']).to.include({
            spiffe_id: 'spiffe://example.org/service/peer',
          });
          await expectEcho(new ModelRecordLayer(socket, source, result, leftover), stockSocket);
        });
      }

      it('leaves application data behind the last handshake record to the caller', async () => {
        const { server: listener, port } = await offloadedServer();
        const stockSocket = stockClient(port);
        // Queued before the handshake is done, so it rides right behind the client's Finished.
        stockSocket.write('early bird');
        const { socket, source, done } = await accept(listener, server, { wire });
        const { result, leftover } = await done;
        const records = new ModelRecordLayer(socket, source, result, leftover);
        expect((await records.read()).toString()).to.equal('early bird');
      });

      it('sees at once that a peer is not the one wanted', async () => {
        const { port } = await stockServer();
        const { socket, source } = await dial(port);
        const error = await failure(
          client({
            wire,
            socket,
            source,
            start: { target_identities: [{ spiffe_id: 'spiffe://example.org/service/other' }] },
          }),
        );
        expect(error.kind).to.be.oneOf(['peer', 'status', 'stream']);
      });

      it('sees at once that an untrusted client is refused', async () => {
        const { server: listener, port } = await offloadedServer();
        stockClient(port, { key: undefined, cert: undefined });
        const { done } = await accept(listener, server, { wire });
        const error = await failure(done);
        expect(error.kind).to.be.oneOf(['peer', 'status', 'stream']);
      });

      it('sees at once that the start message is refused', async () => {
        const { port } = await stockServer();
        const { socket, source } = await dial(port);
        const error = await failure(
          client({
            wire,
            socket,
            source,
            start: { target_name: 'peer.example.org', min_tls_version: 1 },
          }),
        );
        expect(error.kind).to.equal('status');
        expect(error.message).to.contain('TLS 1.2');
      });

      it('sees at once that the peer sent an alert', async () => {
        const { port } = await stockServer({ ALPNProtocols: ['http/1.1'] });
        const { socket, source } = await dial(port);
        const error = await failure(
          client({ wire, socket, source, start: { target_name: 'peer.example.org' } }),
        );
        expect(error.kind).to.equal('stream');
        expect(error.message).to.contain('no_application_protocol');
      });
    });
  }

  it('leaves no stream, slot or waiting handshake behind', async () => {
    await closed(sidecar);
    expect(await sidecar.metric('sidekey_handshakes_in_flight{role="client"}')).to.equal(0);
    expect(await sidecar.metric('sidekey_handshakes_in_flight{role="server"}')).to.equal(0);
    expect(await sidecar.metric('sidekey_open_streams')).to.equal(0);
  });
});

type Model = (options: CallerOptions) => Promise<CallerResult>;

async function accept(
  listener: Server,
  model: Model,
  options: Pick<CallerOptions, 'wire' | 'readLimit' | 'start'>,
): Promise<{ socket: Socket; source: ByteSource; done: Promise<CallerResult> }> {
  const [socket] = (await once(listener, 'connection')) as [Socket];
  const source = new ByteSource(socket);
  return { socket, source, done: model({ ...options, socket, source }) };
}

async function expectEcho(records: ModelRecordLayer, stock: TLSSocket): Promise<void> {
  stock.once('data', (bytes: Buffer) => stock.write(Buffer.concat([Buffer.from('re: '), bytes])));
  records.write(Buffer.from('hello'));
  expect((await records.read()).toString()).to.equal('re: hello');
}

async function failure(promise: Promise<unknown>): Promise<CallerError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof CallerError) return error;
    throw error;
  }
  throw new Error('the handshake succeeded');
}

/** Cancelled streams close a moment after their callers are done with them. */
async function closed(sidecar: TestSidecar): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    if ((await sidecar.metric('sidekey_open_streams')) === 0) return;
  }
}
