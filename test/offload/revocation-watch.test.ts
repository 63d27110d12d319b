import { expect } from 'chai';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Server, ServerCredentials, type ServerWritableStream, status } from '@grpc/grpc-js';
import {
  WatchRevocationsResponse,
  WorkloadServiceService,
} from '../../src/gen/sidekey/v1/workload.ts';
import { fixedToken } from '../../src/offload/access-token.ts';
import { GrpcChannel } from '../../src/offload/grpc-channel.ts';
import { LivePeers } from '../../src/offload/live-peers.ts';
import { RevocationWatch, type RevocationWatchTimes } from '../../src/offload/revocation-watch.ts';
import { parseCertificate } from '../../src/pki/index.ts';
import { createTestCa } from '../support/test-ca.ts';

const { chain } = createTestCa().issue({ uris: ['spiffe://test/service/a'] });
const times: RevocationWatchTimes = {
  silenceMs: 10_000,
  lingerMs: 20,
  retryMs: 5,
  maxRetryMs: 20,
  unsupportedMs: 30,
};

type Call = ServerWritableStream<unknown, WatchRevocationsResponse>;

describe('RevocationWatch', () => {
  let directory: string;
  let server: Server | undefined;
  let channel: GrpcChannel;
  let watch: RevocationWatch | undefined;
  let peers: LivePeers;
  let calls: Call[];
  let onCall: (call: Call) => void;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'sidekey-watch-'));
    channel = new GrpcChannel({ path: join(directory, 's') });
    peers = new LivePeers();
    calls = [];
    onCall = () => undefined;
  });

  afterEach(async () => {
    watch?.close();
    await channel.close();
    server?.forceShutdown();
    rmSync(directory, { recursive: true, force: true });
  });

  async function serve(): Promise<void> {
    server = new Server();
    server.addService(WorkloadServiceService, {
      watchRevocations: (call: Call) => {
        calls.push(call);
        onCall(call);
      },
    });
    await new Promise<void>((resolve, reject) => {
      server?.bindAsync(
        `unix:${join(directory, 's')}`,
        ServerCredentials.createInsecure(),
        (error) => {
          if (error === null) resolve();
          else reject(error);
        },
      );
    });
  }

  function begin(changes: Partial<RevocationWatchTimes> = {}, token?: string): void {
    watch = new RevocationWatch(channel, fixedToken(token), peers, { ...times, ...changes });
  }

  /** A connection that says when it was ended. */
  function connect(): { readonly ended: Promise<string>; readonly leave: () => void } {
    let leave = (): void => undefined;
    const ended = new Promise<string>((resolve) => {
      const connection = {
        peerCertificateChain: chain,
        peerIdentity: 'spiffe://test/service/a',
        closeRevoked: resolve,
      };
      peers.add(connection);
      leave = () => {
        peers.remove(connection);
      };
    });
    return { ended, leave };
  }

  async function called(count: number): Promise<void> {
    while (calls.length < count) await new Promise((resolve) => setImmediate(resolve));
  }

  function tell(call: Call | undefined, reason: string): void {
    const { serialNumber } = parseCertificate(chain[0]!);
    const serial = Buffer.from(serialNumber[0] === 0 ? serialNumber.subarray(1) : serialNumber);
    call?.write(WatchRevocationsResponse.fromPartial({ peers: [{ serial, reason }] }));
  }

  it('asks nothing as long as there is no connection', async () => {
    await serve();
    begin();
    await new Promise((resolve) => setImmediate(resolve));
    expect(calls).to.have.length(0);
  });

  it('asks once for all connections, and ends those of revoked peers', async () => {
    await serve();
    begin();
    const connections = [connect(), connect()];
    await called(1);
    tell(calls[0], 'superseded');
    expect(await Promise.all(connections.map(({ ended }) => ended))).to.deep.equal([
      'superseded',
      'superseded',
    ]);
    expect(calls).to.have.length(1);
  });

  it('sends its token', async () => {
    await serve();
    begin({}, 'a-token-of-some-length');
    connect();
    await called(1);
    expect(calls[0]!.metadata.get('authorization')).to.deep.equal([
      'Bearer a-token-of-some-length',
    ]);
  });

  it('comes back after the sidecar has ended the stream, however it did', async () => {
    await serve();
    onCall = (call) => {
      if (calls.length === 1) call.end();
      if (calls.length === 2) call.emit('error', { code: status.UNAVAILABLE, details: 'away' });
      if (calls.length === 3) call.emit('error', { code: status.UNIMPLEMENTED, details: 'what?' });
    };
    begin();
    const { ended } = connect();
    await called(4);
    tell(calls[3], 'keyCompromise');
    expect(await ended).to.equal('keyCompromise');
  });

  it('comes once there is a sidecar', async () => {
    begin();
    const { ended } = connect();
    await new Promise((resolve) => setImmediate(resolve));
    await serve();
    await called(1);
    tell(calls[0], 'keyCompromise');
    expect(await ended).to.equal('keyCompromise');
  });

  it('takes a stream without a sign of life for dead', async () => {
    await serve();
    begin({ silenceMs: 30 });
    connect();
    await called(3);
  });

  it('ends the stream some time after the last connection', async () => {
    await serve();
    begin();
    const { leave } = connect();
    await called(1);
    const cancelled = new Promise<void>((resolve) => {
      calls[0]!.once('cancelled', resolve);
    });
    leave();
    await cancelled;
    connect();
    await called(2);
  });
});
