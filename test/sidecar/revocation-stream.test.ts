import { EventEmitter } from 'node:events';
import { expect } from 'chai';
import type { WatchRevocationsResponse } from '../../src/gen/sidekey/v1/workload.ts';
import type { RevokedCertificate } from '../../src/sidecar/index.ts';
import { RevocationStream } from '../../src/sidecar/revocation-stream.ts';
import { FakeSource } from './support/fake-source.ts';

type Call = ConstructorParameters<typeof RevocationStream>[0];

/** The call of an application that reads as fast as a test lets it. */
class FakeCall extends EventEmitter {
  readonly messages: WatchRevocationsResponse[] = [];
  reads = true;
  ended = false;

  write(message: WatchRevocationsResponse): boolean {
    this.messages.push(message);
    return this.reads;
  }

  end(): void {
    this.ended = true;
  }

  /** Names of all peers told so far, by message. */
  get told(): readonly (readonly string[])[] {
    return this.messages.map(({ peers }) => peers.map(({ spiffeId }) => spiffeId));
  }
}

function revoked(...names: readonly string[]): RevokedCertificate[] {
  return names.map((spiffeId) => ({ spiffeId, reason: '' }));
}

function numbers(count: number): string[] {
  return Array.from({ length: count }, (_, index) => String(index));
}

describe('RevocationStream', () => {
  let call: FakeCall;
  let source: FakeSource;
  let stream: RevocationStream | undefined;

  beforeEach(() => {
    call = new FakeCall();
    source = new FakeSource();
  });

  afterEach(() => {
    stream?.close();
  });

  function start(sources = [source], patienceMs = 60_000): void {
    const times = { heartbeatMs: 20, patienceMs };
    stream = new RevocationStream(call as unknown as Call, sources, times);
    stream.start();
  }

  it('begins with a snapshot, also of nothing', () => {
    start();
    expect(call.messages).to.deep.equal([
      { snapshotStart: true, snapshotComplete: true, peers: [] },
    ]);
  });

  it('cuts a long snapshot into messages, and joins that of several sources', () => {
    const other = new FakeSource();
    source.revocations.add(...revoked(...numbers(700)));
    other.revocations.add(...revoked('other'));
    start([source, other]);
    expect(call.messages.map(({ peers }) => peers.length)).to.deep.equal([500, 201]);
    expect(call.messages.map(({ snapshotStart }) => snapshotStart)).to.deep.equal([true, false]);
    expect(call.messages.map(({ snapshotComplete }) => snapshotComplete)).to.deep.equal([
      false,
      true,
    ]);
    expect(call.told[1]?.at(-1)).to.equal('other');
  });

  it('tells what is added, and everything anew when the list is replaced', () => {
    start();
    source.revocations.add(...revoked('a'));
    source.revocations.replace(...revoked('b'));
    expect(call.told).to.deep.equal([[], ['a'], ['b']]);
    expect(call.messages[2]).to.include({ snapshotStart: true, snapshotComplete: true });
  });

  it('waits for one who reads slowly, and loses nothing', () => {
    source.revocations.add(...revoked(...numbers(600)));
    call.reads = false;
    start();
    expect(call.messages).to.have.length(1);
    source.revocations.add(...revoked('late'));
    expect(call.messages).to.have.length(1);
    call.reads = true;
    call.emit('drain');
    expect(new Set(call.told.flat())).to.include('late').and.include('599');
  });

  it('tells everything anew rather than keep much for a slow reader', () => {
    start();
    call.reads = false;
    source.revocations.add(...revoked('first'));
    for (let count = 0; count < 3; count += 1) {
      source.revocations.add(...revoked(...numbers(4000)));
    }
    const before = call.messages.length;
    call.reads = true;
    call.emit('drain');
    expect(call.messages[before]).to.include({ snapshotStart: true });
    const total = call.messages.slice(before).reduce((sum, { peers }) => sum + peers.length, 0);
    expect(total).to.equal(12_001);
  });

  it('cuts off one who does not read at all', async () => {
    call.reads = false;
    const error = new Promise<{ code: number }>((resolve) => {
      call.once('error', resolve);
    });
    start([source], 10);
    expect((await error).code).to.equal(8);
    source.revocations.add(...revoked('a'));
    expect(call.messages).to.have.length(1);
  });

  it('gives signs of life', async () => {
    start();
    while (call.messages.length < 3) await new Promise((resolve) => setImmediate(resolve));
    expect(call.messages[2]).to.deep.equal({
      snapshotStart: false,
      snapshotComplete: false,
      peers: [],
    });
  });

  it('tells nothing more after its end', () => {
    start();
    stream?.end();
    source.revocations.add(...revoked('a'));
    expect(call.messages).to.have.length(1);
    expect(call.ended).to.equal(true);
  });
});
