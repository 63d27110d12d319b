import { once } from 'node:events';
import { type ClientHttp2Session, connect, constants } from 'node:http2';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import type { HttpTimes } from '../../../src/apps/agent/connections/http-servers.ts';
import type { OffloadSocket } from '../../../src/offload/index.ts';
import { AgentStage, type TestAgent } from './support/test-agent.ts';
import type { TestManager } from './support/test-manager.ts';

/** Impatient, so that slowness need not be waited for. */
const httpTimes: HttpTimes = {
  headersMs: 300,
  requestMs: 600,
  idleMs: 60_000,
  pingMs: 300,
  pongMs: 1000,
  checkMs: 50,
};
const json = { 'content-type': 'application/json' };
const heartbeat = { managerTime: '2026-01-01T00:00:00Z' };

describe('an agent with a hostile manager', () => {
  let stage: AgentStage;
  let agent: TestAgent;
  let honest: TestManager;

  before(async () => {
    stage = await AgentStage.open();
  });

  beforeEach(async () => {
    agent = await stage.start('active', {
      extra:
        'operations: { say: { command: [/bin/echo, "{what}"], arguments: { what: { pattern: "[a-z]+" } } } }\n',
      agent: { httpTimes, requestTimeoutMs: 400 },
    });
    honest = await agent.manager({ identity: 'otherManager' });
  });

  afterEach(async () => {
    // Whatever was done to it: it serves others, on the connection they had.
    const { status } = await honest.ask('POST', '/v1/heartbeat', { json: heartbeat });
    expect(status).to.equal(200);
    expect(agent.log.filter(({ level }) => level >= 50)).to.deep.equal([]);
    await stage.closeAgents();
  });

  after(async () => {
    await stage.close();
  });

  function complaints(): readonly string[] {
    return agent.log
      .filter(({ level, msg }) => level === 40 && /request|HTTP/u.test(msg))
      .map(({ code, problem }) => `${String(code)}: ${String(problem)}`);
  }

  /** It may be told of a little after the end of the connection. */
  async function oneComplaint(): Promise<void> {
    while (complaints().length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(complaints(), complaints().join('\n')).to.have.length(1);
  }

  /** A connection of HTTP/1.1 on which anything can be said; resolves with all that was answered until it ended. */
  async function say(...pieces: readonly (string | Buffer)[]): Promise<string> {
    const socket = await raw(['http/1.1']);
    const answered = textOf(socket);
    for (const piece of pieces) socket.write(piece);
    return await answered;
  }

  async function raw(protocols: readonly string[]): Promise<OffloadSocket> {
    const socket = agent.dial({ ALPNProtocols: protocols });
    socket.on('error', () => undefined);
    await once(socket, 'secureConnect');
    return socket;
  }

  async function session(): Promise<ClientHttp2Session> {
    const socket = await raw(['h2']);
    const client = connect('http://agent', { createConnection: () => socket });
    client.on('error', () => undefined);
    await once(client, 'remoteSettings');
    return client;
  }

  describe('on HTTP/1.1', () => {
    const cases: readonly {
      readonly name: string;
      readonly say: readonly (string | Buffer)[];
      readonly answer: RegExp;
    }[] = [
      {
        name: 'a request that is none',
        say: ['GARBAGE\r\n\r\n'],
        answer: /^HTTP\/1.1 400 /u,
      },
      {
        name: 'bytes of another protocol',
        say: [Buffer.alloc(3000, 0x16)],
        answer: /^HTTP\/1.1 400 /u,
      },
      {
        name: 'headers without end',
        say: ['GET /v1/hello HTTP/1.1\r\nhost: a\r\n', `a: ${'b'.repeat(17_000)}\r\n`],
        answer: /^HTTP\/1.1 431 /u,
      },
      {
        name: 'headers that never end',
        say: ['GET /v1/hello HTTP/1.1\r\nhost: a\r\n'],
        answer: /^HTTP\/1.1 4\d\d /u,
      },
      {
        name: 'no host',
        say: ['GET /v1/hello HTTP/1.1\r\nconnection: close\r\n\r\n'],
        answer: /^HTTP\/1.1 400 /u,
      },
      {
        name: 'two lengths',
        say: [
          'POST /v1/heartbeat HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}',
        ],
        answer: /^HTTP\/1.1 400 /u,
      },
      {
        name: 'a length and chunks',
        say: [
          'POST /v1/heartbeat HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}',
        ],
        answer: /^HTTP\/1.1 400 /u,
      },
      {
        name: 'a tunnel',
        say: ['CONNECT 10.0.0.1:22 HTTP/1.1\r\nhost: a\r\n\r\n'],
        answer: /^HTTP\/1.1 400 /u,
      },
      {
        name: 'a body that never comes',
        say: [
          'POST /v1/heartbeat HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{',
        ],
        answer: /^HTTP\/1.1 504 /u,
      },
      {
        name: 'a body longer than allowed',
        say: [
          'POST /v1/heartbeat HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 2000000\r\n\r\n',
        ],
        answer: /^HTTP\/1.1 413 /u,
      },
      {
        name: 'another address',
        say: ['GET http://10.0.0.1/v1/hello HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n'],
        answer: /^HTTP\/1.1 400 /u,
      },
    ];
    for (const { name, say: pieces, answer } of cases) {
      it(`refuses ${name}, and says so once`, async () => {
        expect(await say(...pieces)).to.match(answer);
        expect(complaints(), complaints().join('\n')).to.have.length(1);
      });
    }

    it('answers what comes in many pieces', async () => {
      const answered = await say(
        ...'GET /v1/hello HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n'.split(''),
      );
      expect(answered).to.match(/^HTTP\/1.1 200 /u);
    });
  });

  describe('with paths', () => {
    const paths = [
      '/v1/../v1/hello',
      '/v1/%2e%2e/v1/hello',
      '/v1/hello/',
      '//v1/hello',
      '/v1/hell%6f',
      '/v1/hello?',
      '/v1/hello?a',
      '/v1/hello#x',
      '/v1/ops/../hello',
      '/v1/ops/%2e%2e%2fhello',
      '/v1/events?after=0&after=1&max=1',
      '/v1/events?after=-1&max=1',
      '/v1/events?after=0&max=1&more=1',
      '/v1/events?after=0&max=1e9',
      '/V1/hello',
      '*',
      `/v1/${'a'.repeat(600)}`,
    ];
    it('answers none that is not spelt as it should be', async () => {
      const manager = await agent.manager();
      for (const path of paths) {
        // Some are refused below us, by a reset.
        const { status } = await manager.get(path).catch(() => ({ status: 400 }));
        expect(status, path).to.be.oneOf([400, 404, path === '/v1/hello?' ? 200 : 400]);
      }
      expect(complaints().length).to.be.at.least(paths.length - 4);
    });

    it('knows no other methods', async () => {
      const manager = await agent.manager();
      for (const method of ['DELETE', 'PATCH', 'POST', 'OPTIONS', 'TRACE', 'PROPFIND']) {
        const { status } = await manager.ask(method, '/v1/hello');
        expect(status, method).to.equal(404);
      }
    });
  });

  describe('with bodies', () => {
    const deep = Buffer.from('['.repeat(200_000) + ']'.repeat(200_000));
    const cases: readonly {
      readonly name: string;
      readonly bytes: Buffer;
      readonly headers?: Record<string, string>;
      readonly status: number;
    }[] = [
      { name: 'too long', bytes: Buffer.alloc(1024 * 1024 + 1, ' '), status: 413 },
      {
        name: 'that inflate too much',
        bytes: gzipSync(Buffer.alloc(9 * 1024 * 1024, ' ')),
        headers: { 'content-encoding': 'gzip' },
        status: 413,
      },
      {
        name: 'that are no gzip',
        bytes: Buffer.from('{}'),
        headers: { 'content-encoding': 'gzip' },
        status: 400,
      },
      {
        name: 'in another encoding',
        bytes: Buffer.from('{}'),
        headers: { 'content-encoding': 'deflate' },
        status: 415,
      },
      {
        name: 'of another type',
        bytes: Buffer.from('{}'),
        headers: { 'content-type': 'text/plain' },
        status: 415,
      },
      { name: 'nested deep', bytes: deep, status: 400 },
      { name: 'that are no JSON', bytes: Buffer.from('{"managerTime":'), status: 400 },
      { name: 'with a proto', bytes: Buffer.from('{"__proto__":{"managerTime":1}}'), status: 400 },
      {
        name: 'with unknown keys',
        bytes: Buffer.from('{"managerTime":"2026-01-01T00:00:00Z","x":1}'),
        status: 400,
      },
    ];
    for (const { name, bytes, headers, status } of cases) {
      it(`refuses those ${name}, and goes on`, async () => {
        const manager = await agent.manager();
        const answer = await manager.ask('POST', '/v1/heartbeat', {
          bytes,
          headers: { ...json, ...headers },
        });
        expect(answer.status).to.equal(status);
        expect(complaints(), complaints().join('\n')).to.have.length(1);
        expect((await manager.get('/v1/hello')).status).to.equal(200);
      });
    }
  });

  describe('on HTTP/2', () => {
    it('ends a connection that breaks the framing', async () => {
      const socket = await raw(['h2']);
      const ended = textOf(socket);
      socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
      // DATA on stream 0 (RFC 9113 §6.1).
      socket.write(Buffer.from('0000040000000000006162636400', 'hex'));
      await ended;
      await oneComplaint();
    });

    it('ends a connection that is no HTTP/2 at all', async () => {
      const socket = await raw(['h2']);
      const ended = textOf(socket);
      socket.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
      await ended;
      await oneComplaint();
    });

    it('ends a connection that says nothing, and does not answer PING', async () => {
      const socket = await raw(['h2']);
      await textOf(socket);
      expect(complaints()).to.deep.equal(['undefined: no answer to PING']);
    });

    it('ends a connection whose headers never end', async () => {
      const socket = await raw(['h2']);
      const ended = textOf(socket);
      socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
      socket.write(Buffer.from('000000040000000000', 'hex'));
      // HEADERS without END_HEADERS, then CONTINUATION for ever (CVE-2024-27983).
      socket.write(Buffer.from('00000101000000000182', 'hex'));
      const more = Buffer.from('00400009000000000100', 'hex').subarray(0, 9);
      const pump = setInterval(() => {
        if (!socket.destroyed) socket.write(Buffer.concat([more, Buffer.alloc(0x4000, 0x82)]));
      }, 1);
      await ended;
      clearInterval(pump);
      await oneComplaint();
    });

    it('refuses headers that are too large', async () => {
      const client = await session();
      const stream = client.request({ ':path': '/v1/hello', big: 'b'.repeat(20_000) });
      const [error] = (await once(stream, 'error')) as [NodeJS.ErrnoException];
      expect(error.message).to.match(/ENHANCE_YOUR_CALM|PROTOCOL_ERROR|FRAME_SIZE|too large/iu);
      client.destroy();
    });

    it('survives streams opened and reset as fast as can be (CVE-2023-44487)', async () => {
      const client = await session();
      const closed = new Promise((resolve) => client.once('close', resolve));
      for (let count = 0; count < 3000 && !client.destroyed; count += 1) {
        const stream = client.request({ ':path': '/v1/status' });
        stream.on('error', () => undefined);
        stream.close(constants.NGHTTP2_CANCEL);
        if (count % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      await closed;
    });

    it('answers no more at once than it should', async () => {
      const client = await session();
      const settings = client.remoteSettings;
      expect(settings.maxConcurrentStreams).to.equal(8);
      // Has its connection, so that it asks while they wait.
      await honest.get('/v1/hello');
      // Bodies that do not come hold the places; more are refused, not kept waiting.
      const slow = Array.from({ length: 8 }, () => {
        const stream = client.request({ ':method': 'POST', ':path': '/v1/heartbeat', ...json });
        stream.on('error', () => undefined);
        stream.write('{');
        return stream;
      });
      const answers = Promise.all(
        slow.map(async (stream) => {
          const [head] = (await once(stream, 'response')) as [Record<string, unknown>];
          stream.resume();
          return head[':status'];
        }),
      );
      let status;
      do ({ status } = await honest.get('/v1/hello'));
      while (status !== 429);
      const outcomes = await answers;
      expect(new Set(outcomes)).to.deep.equal(new Set([504]));
      client.destroy();
    });

    it('takes a tunnel for nothing it knows', async () => {
      const client = await session();
      const stream = client.request({ ':method': 'CONNECT', ':authority': '10.0.0.1:22' });
      stream.on('error', () => undefined);
      const [head] = (await once(stream, 'response')) as [Record<string, unknown>];
      expect(head[':status']).to.be.oneOf([400, 404, 405]);
      client.destroy();
    });
  });

  it('runs an operation once for each of a thousand keys', async () => {
    const manager = await agent.manager();
    let succeeded = 0;
    let busy = 0;
    for (let count = 0; count < 1000; count += 1) {
      const ask = {
        json: { arguments: { what: 'hi' } },
        headers: { 'idempotency-key': `key-${String(count % 250)}` },
      };
      const { status } = await manager.ask('POST', '/v1/ops/say', ask);
      if (status === 200) succeeded += 1;
      else busy += 1;
      // A busy machine may take longer than this agent waits; the same key is asked again.
      expect(status).to.be.oneOf([200, 429, 504]);
    }
    expect(succeeded + busy).to.equal(1000);
    const { body } = await honest.get('/v1/events?after=0&max=1000');
    const started = body.events.filter(
      ({ kind }: { kind: string }) => kind === 'operation_started',
    );
    expect(started.length).to.be.at.most(250);
    const names = new Set(started.map(({ facts }: { facts: { id: string } }) => facts.id));
    expect(names.size).to.equal(started.length);
  }).timeout(60_000);

  it('takes no arguments that are not allowed', async () => {
    const manager = await agent.manager();
    const cases: readonly [string, unknown, number][] = [
      ['say', { arguments: { what: '$(id)' } }, 400],
      ['say', { arguments: { what: 'a b' } }, 400],
      ['say', { arguments: { what: '-n' } }, 400],
      ['say', { arguments: {} }, 400],
      ['say', { arguments: { what: 'a', more: 'b' } }, 400],
      ['say', { arguments: { what: 'a\u0000' } }, 400],
      ['say', { arguments: { what: 'a'.repeat(1025) } }, 400],
      ['other', { arguments: {} }, 403],
      ['toString', { arguments: {} }, 403],
      ['__proto__', { arguments: {} }, 400],
    ];
    for (const [name, body, status] of cases) {
      const answer = await manager.ask('POST', `/v1/ops/${name}`, {
        json: body,
        headers: { 'idempotency-key': 'key' },
      });
      expect(answer.status, `${name} ${JSON.stringify(body)}`).to.be.oneOf([status, 403]);
    }
    for (const key of ['', 'a b', 'a'.repeat(129), '../x']) {
      const answer = await manager.ask('POST', '/v1/ops/say', {
        json: { arguments: { what: 'a' } },
        headers: { 'idempotency-key': key },
      });
      expect(answer.status, key).to.equal(400);
    }
    expect(agent.parts.operations.running).to.equal(0);
  });

  it('lets in so many connections and no more', async () => {
    const managers = [];
    for (let count = 0; count < 31; count += 1) managers.push(await agent.manager());
    const socket = agent.dial({});
    socket.on('error', () => undefined);
    await textOf(socket);
    for (const manager of managers) manager.close();
  });
});

async function textOf(socket: OffloadSocket): Promise<string> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  await new Promise((resolve) => socket.once('close', resolve));
  return Buffer.concat(chunks).toString('latin1');
}
