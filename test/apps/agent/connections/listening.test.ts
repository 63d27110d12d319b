import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { expect } from 'chai';
import { Connectivity } from '../../../../src/apps/agent/connections/connectivity.ts';
import { createOffload, type Offload } from '../../../../src/offload/index.ts';
import { stillSurroundings } from '../support/surroundings.ts';

describe('the port of an agent', () => {
  let offload: Offload;
  let connectivity: Connectivity;
  let retry: () => void;
  let lines: ReturnType<typeof stillSurroundings>['lines'];

  /** At a port; 0: any. */
  function at(port: number): void {
    const surroundings = stillSurroundings();
    ({ lines } = surroundings);
    connectivity = new Connectivity({
      offload,
      listen: { host: '127.0.0.1', port },
      reconnect: { leastMs: 1, firstMs: 1, mostMs: 1 },
      surroundings: {
        ...surroundings,
        timers: {
          after: (_ms, callback) => {
            retry = callback;
            return () => undefined;
          },
        },
      },
      serve: () => true,
      refused: () => undefined,
    });
  }

  const wanted = { managers: [], identity: undefined };

  beforeEach(() => {
    offload = createOffload({ address: 'unix:/no/such/sidecar.sock' });
  });

  afterEach(async () => {
    await connectivity.close();
    await offload.close();
  });

  it('is tried again when somebody else has it, which is said once', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    at(port);
    await connectivity.want({ mode: 'manager-initiated', ...wanted });
    expect(connectivity.problems[0]).to.match(/^cannot listen: .*EADDRINUSE/u);
    retry();
    // What it began is waited for by whoever wants the same.
    await connectivity.ensureListening('manager-initiated').catch(() => undefined);
    expect(connectivity.listening).to.equal(undefined);
    other.close();
    await once(other, 'close');
    await new Promise((resolve) => setImmediate(resolve));
    retry();
    await connectivity.ensureListening('manager-initiated');
    expect(connectivity.listening).to.equal(`127.0.0.1:${String(port)}`);
    await new Promise((resolve) => setImmediate(resolve));
    expect(connectivity.problems).to.deep.equal([]);
    expect(lines.filter(({ msg }) => msg === 'cannot listen')).to.have.length(1);
  });

  it('is opened once, however many want it at the same time', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    other.close();
    await once(other, 'close');
    at(port);
    const mode = 'bidirectional';
    await Promise.all([
      connectivity.ensureListening(mode),
      connectivity.want({ mode, ...wanted }),
      connectivity.ensureListening(mode),
    ]);
    expect(connectivity.problems).to.deep.equal([]);
    expect(lines.filter(({ msg }) => msg === 'listening')).to.have.length(1);
  });

  it('is closed as well if it was about to be opened when managers are to be dialled only', async () => {
    at(0);
    const opening = connectivity.ensureListening('bidirectional');
    await connectivity.want({ mode: 'agent-initiated', ...wanted });
    await opening;
    expect(connectivity.listening).to.equal(undefined);
  });

  it('is closed while managers are dialled only, and nobody is answered without an identity', async () => {
    at(0);
    await connectivity.want({ mode: 'bidirectional', ...wanted });
    const port = Number(connectivity.listening?.split(':').at(-1));
    const knocking = connect({ host: '127.0.0.1', port });
    knocking.on('error', () => undefined);
    await once(knocking, 'close');
    expect(knocking.bytesRead).to.equal(0);
    await connectivity.want({ mode: 'agent-initiated', ...wanted });
    expect(connectivity.listening).to.equal(undefined);
    const [error] = (await once(connect({ host: '127.0.0.1', port }), 'error')) as [
      NodeJS.ErrnoException,
    ];
    expect(error.code).to.equal('ECONNREFUSED');
  });
});
