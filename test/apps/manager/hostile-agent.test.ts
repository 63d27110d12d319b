import { expect } from 'chai';
import { createServer as createHttp2Server, type ServerHttp2Stream } from 'node:http2';
import { gzipSync } from 'node:zlib';
import { AgentConnection } from '../../../src/apps/manager/connections/agent-connection.ts';
import { createOffload, type Offload, type OffloadSocket } from '../../../src/offload/index.ts';
import { type SecurePair, securePair } from '../../offload/support/connections.ts';
import { FakeSidecar } from '../../offload/support/fake-sidecar.ts';
import { type LogLine, memoryLog } from '../../sidecar/fixture.ts';

/** What an agent may do with a connection on which a manager has asked something. */
type Misdeed = (socket: OffloadSocket) => void;

const head = 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n';
const json = (text: string): string =>
  `${head}content-length: ${String(Buffer.byteLength(text))}\r\n\r\n${text}`;
const gzipped = (bytes: Buffer): Buffer =>
  Buffer.concat([
    Buffer.from(`${head}content-encoding: gzip\r\ncontent-length: ${String(bytes.length)}\r\n\r\n`),
    bytes,
  ]);
const nested = (depth: number): string => `${'['.repeat(depth)}${']'.repeat(depth)}`;

const misdeeds: readonly (readonly [name: string, log: RegExp, misdeed: Misdeed])[] = [
  ['announces too much', /longer than/u, (s) => s.write(`${head}content-length: 99999999\r\n\r\n`)],
  [
    'sends too much without saying so',
    /longer than/u,
    (s) => {
      s.write(`${head}transfer-encoding: chunked\r\n\r\n`);
      for (let count = 0; count < 80; count += 1) s.write(`10000\r\n${'x'.repeat(0x10000)}\r\n`);
    },
  ],
  ['sends a gzip bomb', /inflates/u, (s) => s.write(gzipped(gzipSync(Buffer.alloc(30_000_000))))],
  ['sends broken gzip', /gzip/u, (s) => s.write(gzipped(Buffer.from('no gzip at all')))],
  ['sends no HTTP', /breaks HTTP/u, (s) => s.write('SSH-2.0-OpenSSH_9.9\r\n')],
  ['sends a request', /breaks HTTP/u, (s) => s.write('GET /v1/agents HTTP/1.1\r\nhost: m\r\n\r\n')],
  [
    'sends headers without end',
    /breaks HTTP/u,
    (s) => {
      endless(s, head, 'a: b\r\n');
    },
  ],
  [
    'sends trailers without end',
    /breaks HTTP|ended early|longer/u,
    (s) => {
      endless(s, `${head}transfer-encoding: chunked\r\n\r\n0\r\n`, 'a: b\r\n');
    },
  ],
  [
    'sends 1xx without end',
    /informational/u,
    (s) => s.write('HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(50)),
  ],
  [
    'redirects',
    /status 302/u,
    (s) =>
      s.write(
        'HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n',
      ),
  ],
  [
    'sets a cookie',
    /cookie/u,
    (s) => s.write(`${head}set-cookie: a=b\r\ncontent-length: 2\r\n\r\n{}`),
  ],
  [
    'upgrades',
    /another protocol/u,
    (s) => s.write('HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n'),
  ],
  [
    'answers with a page',
    /not JSON/u,
    (s) => s.write('HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 2\r\n\r\nhi'),
  ],
  ['answers with deep JSON', /nested too deep/u, (s) => s.write(json(nested(100_000)))],
  [
    'answers with another encoding',
    /content-encoding/u,
    (s) => s.write(`${head}content-encoding: br\r\ncontent-length: 2\r\n\r\n{}`),
  ],
  [
    'answers with what is no UTF-8',
    /not JSON in UTF-8/u,
    (s) => s.write(Buffer.from(`${head}content-length: 12\r\n\r\n{"time":"\xff"}`, 'latin1')),
  ],
  [
    'answers with absurd numbers',
    /not understood/u,
    (s) => s.write(json('{"time":"2026-01-01T00:00:00Z","eventHead":1e300,"uptimeSeconds":-1}')),
  ],
];

const hello = JSON.stringify({
  instanceId: '11111111-1111-4111-8111-111111111111',
  version: '1',
  state: 'active',
  mode: 'bidirectional',
  capabilities: [],
});

describe('a hostile agent', function () {
  this.timeout(4000);
  let sidecar: FakeSidecar;
  let offload: Offload;
  let pair: SecurePair | undefined;
  let lines: readonly LogLine[];

  before(async () => {
    sidecar = await FakeSidecar.start();
    offload = createOffload({ address: sidecar.address });
  });
  afterEach(() => pair?.close());
  after(async () => {
    await offload.close();
    await sidecar.close();
  });

  /** Whoever dialled, the manager is the HTTP client. */
  async function connect(protocol: string, managerDialled: boolean) {
    const ALPNProtocols = [protocol];
    const made = await securePair(offload, {
      client: { ALPNProtocols },
      server: { ALPNProtocols },
    });
    pair = made;
    const [own, agent] = managerDialled ? [made.client, made.server] : [made.server, made.client];
    const memory = memoryLog();
    ({ lines } = memory);
    agent.on('error', () => undefined);
    const connection = new AgentConnection(
      own,
      managerDialled ? 'dialled' : 'accepted',
      memory.log,
    );
    return { connection, agent };
  }

  for (const [protocol, managerDialled] of [
    ['http/1.1', true],
    ['sidekey-reverse-http/1', false],
  ] as const) {
    describe(`over ${protocol}`, () => {
      for (const [name, log, misdeed] of misdeeds) {
        it(`${name}: it costs that connection, and one line`, async () => {
          const { connection, agent } = await connect(protocol, managerDialled);
          agent.once('data', () => {
            misdeed(agent);
          });
          const ended = new Promise<Error>((resolve) => {
            connection.onEnd(resolve);
          });
          await connection.client.hello().catch(() => undefined);
          const error = await ended;
          expect(error.message).to.match(log);
          const warned = lines.filter(({ level }) => level >= 40);
          expect(warned.map(({ msg }) => msg)).to.have.length(1);
          expect(connection.ended).not.to.equal(undefined);
        });
      }

      it('answers twice: the second is not taken for the next answer', async () => {
        const { connection, agent } = await connect(protocol, managerDialled);
        agent.once('data', () => agent.write(json(hello) + json(hello)));
        const ended = new Promise<Error>((resolve) => {
          connection.onEnd(resolve);
        });
        await connection.client.hello().catch(() => undefined);
        await ended;
      });

      it('says something before it is asked', async () => {
        const { connection, agent } = await connect(protocol, managerDialled);
        const ended = new Promise<Error>((resolve) => {
          connection.onEnd(resolve);
        });
        agent.write(json(hello));
        expect((await ended).message).to.match(/nobody asked/u);
      });

      it('says nothing, or drips', async () => {
        const { connection, agent } = await connect(protocol, managerDialled);
        const drip = setInterval(() => agent.write('H'), 20);
        try {
          const asked = connection.client.heartbeat(new Date(), 100);
          const error = await asked.then(
            () => undefined,
            (cause: unknown) => cause as Error,
          );
          expect(error?.message).to.match(/within 100 ms|breaks HTTP/u);
        } finally {
          clearInterval(drip);
        }
      });
    });
  }

  for (const [protocol, managerDialled] of [
    ['h2', true],
    ['sidekey-reverse-h2/1', false],
  ] as const) {
    describe(`over ${protocol}`, () => {
      const frame = (type: number, flags: number, stream: number, payload: Buffer): Buffer => {
        const header = Buffer.alloc(9);
        header.writeUIntBE(payload.length, 0, 3);
        header[3] = type;
        header[4] = flags;
        header.writeUInt32BE(stream, 5);
        return Buffer.concat([header, payload]);
      };
      // Its own, and that it has read ours.
      const settings = Buffer.concat([
        frame(4, 0, 0, Buffer.alloc(0)),
        frame(4, 1, 0, Buffer.alloc(0)),
      ]);
      const raw: readonly (readonly [string, Buffer])[] = [
        ['speaks HTTP/1', Buffer.from('GET / HTTP/1.1\r\nhost: m\r\n\r\n')],
        [
          'sends a request of its own',
          Buffer.concat([settings, frame(1, 5, 2, Buffer.from([0x82, 0x84, 0x86]))]),
        ],
        [
          'sends a push',
          Buffer.concat([
            settings,
            frame(
              5,
              4,
              1,
              Buffer.concat([Buffer.from([0, 0, 0, 2]), Buffer.from([0x82, 0x84, 0x86])]),
            ),
          ]),
        ],
        [
          'sends frames that are too long',
          Buffer.concat([settings, frame(0, 0, 1, Buffer.alloc(70_000))]),
        ],
        [
          'sends broken header compression',
          Buffer.concat([settings, frame(1, 4, 1, Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff]))]),
        ],
        [
          'answers what was never asked',
          Buffer.concat([settings, frame(0, 0, 99, Buffer.from('x'))]),
        ],
      ];
      for (const [name, bytes] of raw) {
        it(`${name}: it costs that connection at once, and one line`, async () => {
          const { connection, agent } = await connect(protocol, managerDialled);
          agent.once('data', () => agent.write(bytes));
          const ended = new Promise<Error>((resolve) => {
            connection.onEnd(resolve);
          });
          // No deadline comes to its aid.
          const asked = connection.client.heartbeat(new Date(), 600_000).catch(() => undefined);
          expect((await ended).message).to.match(/breaks HTTP\/2|sent a request or a push/u);
          await asked;
          expect(lines.filter(({ level }) => level >= 40)).to.have.length(1);
        });
      }

      const answers: readonly (readonly [string, RegExp, (stream: ServerHttp2Stream) => void])[] = [
        [
          'sends 1xx without end',
          /informational/u,
          (stream) => {
            for (let count = 0; count < 20; count += 1)
              stream.additionalHeaders({ ':status': 103 });
          },
        ],
        [
          'redirects',
          /status 302/u,
          (stream) => {
            stream.respond({ ':status': 302, location: '/' }, { endStream: true });
          },
        ],
        [
          'sends too much',
          /longer than/u,
          (stream) => {
            stream.respond({ ':status': 200, 'content-type': 'application/json' });
            stream.end(Buffer.alloc(5_000_000));
          },
        ],
        [
          'sets a cookie',
          /cookie/u,
          (stream) => {
            stream.respond({ ':status': 200, 'set-cookie': 'a=b' });
            stream.end('{}');
          },
        ],
      ];
      for (const [name, log, answer] of answers) {
        it(`${name}: it costs that connection, and one line`, async () => {
          const { connection, agent } = await connect(protocol, managerDialled);
          const server = createHttp2Server();
          server.on('sessionError', () => undefined);
          server.on('stream', (stream) => {
            stream.on('error', () => undefined);
            answer(stream);
          });
          server.emit('connection', agent);
          const ended = new Promise<Error>((resolve) => {
            connection.onEnd(resolve);
          });
          await connection.client.hello().catch(() => undefined);
          expect((await ended).message).to.match(log);
          expect(lines.filter(({ level }) => level >= 40).length).to.equal(1);
        });
      }
    });
  }
});

/** Goes on until the other side has had enough. */
function endless(socket: OffloadSocket, start: string, line: string): void {
  socket.write(start);
  const block = line.repeat(2000);
  const more = (): void => {
    if (socket.destroyed || socket.bytesWritten > 4_000_000) return;
    socket.write(block);
    setImmediate(more);
  };
  more();
}
