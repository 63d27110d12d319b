import { once } from 'node:events';
import { createServer as createPlainHttpServer, type IncomingMessage } from 'node:http';
import { request as httpsRequest, type RequestOptions, Server as HttpsServer } from 'node:https';
import { type ClientHttp2Session, connect as connectPlainHttp2 } from 'node:http2';
import { createServer as createTcpServer, type Server } from 'node:net';
import { expect } from 'chai';
import { Agent as UndiciAgent, fetch as undiciFetch, request as undiciRequest } from 'undici';
import {
  createOffload,
  type Offload,
  OffloadSocket,
  serveConnection,
} from '../../src/offload/index.ts';
import { failure, listen } from './support/connections.ts';
import { FakeSidecar } from './support/fake-sidecar.ts';
import { memoryPair } from './support/memory-pair.ts';
import { WireTap } from './support/wire-tap.ts';

describe('adapters', () => {
  let sidecar: FakeSidecar;
  let offload: Offload;
  const servers: Server[] = [];

  before(async () => {
    sidecar = await FakeSidecar.start();
    offload = createOffload({ address: sidecar.address });
  });

  afterEach(async () => {
    for (const server of servers.splice(0)) {
      if ('closeAllConnections' in server) (server as HttpsServer).closeAllConnections();
      server.close();
      await once(server, 'close');
    }
  });

  after(async () => {
    await offload.close();
    await sidecar.close();
  });

  async function serve(server: Server): Promise<number> {
    servers.push(server);
    return listen(server);
  }

  describe('httpServer and httpsAgent', () => {
    const echo = (options = {}) =>
      offload.httpServer(options, (incoming, response) => {
        const socket = incoming.socket as unknown as OffloadSocket;
        response.setHeader('peer', socket.peerIdentity ?? '');
        response.setHeader('encrypted', String(socket.encrypted));
        incoming.pipe(response);
      });

    async function get(
      options: RequestOptions,
      body = '',
    ): Promise<{ head: IncomingMessage; body: string }> {
      const outgoing = httpsRequest({ host: '127.0.0.1', servername: 'localhost', ...options });
      outgoing.end(body);
      const [head] = (await once(outgoing, 'response')) as [IncomingMessage];
      return { head, body: await textOf(head) };
    }

    it('serve a request', async () => {
      const server = echo();
      expect(server).to.be.instanceOf(HttpsServer);
      const port = await serve(server);
      const agent = offload.httpsAgent();
      const { head, body } = await get({ port, agent, method: 'POST' }, 'hello');
      expect(head.statusCode).to.equal(200);
      expect(head.headers['peer']).to.equal('spiffe://test/client');
      expect(head.headers['encrypted']).to.equal('true');
      expect(head.socket).to.be.instanceOf(OffloadSocket);
      expect(body).to.equal('hello');
      agent.destroy();
    });

    it('send head and body of a request, and of an answer, in one record each', async () => {
      const server = offload.httpServer({}, (incoming, response) => {
        incoming.resume().on('end', () => {
          response.write('a little');
          response.write(' at a time');
          response.end('.');
        });
      });
      const { tap, port } = await WireTap.to(await serve(server));
      const agent = offload.httpsAgent({ keepAlive: true });
      for (let count = 1; count <= 3; count += 1) {
        const { body } = await get({ port, agent, method: 'POST' }, 'short');
        expect(body).to.equal('a little at a time.');
        for (const direction of ['fromClient', 'fromServer'] as const) {
          const data = tap.records(direction).filter(({ type }) => type === 23);
          expect(data).to.have.length(count);
        }
      }
      agent.destroy();
      tap.close();
    });

    it('keep connections alive and use them again', async () => {
      const port = await serve(echo());
      const agent = offload.httpsAgent({ keepAlive: true, maxSockets: 1 });
      const sockets = new Set<object>();
      for (let count = 0; count < 5; count += 1) {
        const { head } = await get({ port, agent });
        sockets.add(head.socket);
        // Freed in the turn after the response has ended.
        await new Promise((resolve) => setImmediate(resolve));
      }
      expect(sockets.size).to.equal(1);
      agent.destroy();
    });

    it('carry many requests with large bodies at once', async () => {
      const port = await serve(echo());
      const agent = offload.httpsAgent({ keepAlive: true, maxSockets: 4 });
      const body = 'b'.repeat(200_000);
      const answers = await Promise.all(
        Array.from({ length: 20 }, () => get({ port, agent, method: 'POST' }, body)),
      );
      expect(answers.every((answer) => answer.body === body)).to.equal(true);
      agent.destroy();
    });

    it('never share a connection between different targets', async () => {
      const port = await serve(echo());
      const agent = offload.httpsAgent({ keepAlive: true });
      const names = [
        { targetIdentities: ['spiffe://a/b'] },
        { targetIdentities: ['spiffe://a/c'] },
        {},
      ].map((options) => agent.getName({ host: 'localhost', port, ...options }));
      expect(new Set(names).size).to.equal(3);
      agent.destroy();
    });

    it('answer a request for a connection that fails with its error', async () => {
      const server = createTcpServer((socket) => socket.resume().end());
      const port = await serve(server);
      const agent = offload.httpsAgent();
      const outgoing = httpsRequest({ host: '127.0.0.1', port, agent });
      outgoing.end();
      const [error] = (await once(outgoing, 'error')) as [Error];
      expect(error).to.have.property('code', 'ECONNRESET');
      agent.destroy();
    });

    it('end a connection that upgrades in the hands of its users', async () => {
      const server = echo();
      server.on('upgrade', (_request, socket) => {
        socket.write(
          'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n',
        );
        socket.pipe(socket);
      });
      const port = await serve(server);
      const agent = offload.httpsAgent();
      const outgoing = httpsRequest({
        host: '127.0.0.1',
        port,
        agent,
        headers: { connection: 'upgrade', upgrade: 'echo' },
      });
      outgoing.end();
      const [, socket] = (await once(outgoing, 'upgrade')) as [IncomingMessage, OffloadSocket];
      socket.write('raw');
      const [echoed] = (await once(socket, 'data')) as [Buffer];
      expect(echoed.toString()).to.equal('raw');
      socket.destroy();
    });

    it('close a connection whose request head never ends', async () => {
      const server = echo({ headersTimeout: 40, connectionsCheckingInterval: 10 });
      const port = await serve(server);
      const socket = offload.connect({ host: '127.0.0.1', port });
      socket.write('GET / HTTP/1.1\r\nHost: x\r\n');
      const failed = failure(socket);
      const [answer] = (await once(socket, 'data')) as [Buffer];
      expect(answer.toString()).to.match(/^HTTP\/1.1 408 /);
      // The server destroyed its side with an error, so it did not say goodbye.
      expect(await failed).to.have.property('code', 'ERR_OFFLOAD_TRUNCATED');
    });

    it('close all connections when told to', async () => {
      const server = echo();
      const port = await serve(server);
      const socket = offload.connect({ host: '127.0.0.1', port });
      await once(socket, 'secureConnect');
      socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
      await once(socket, 'data');
      socket.on('error', () => undefined);
      server.closeAllConnections();
      await once(socket, 'close');
    });

    it('emit tlsClientError for a handshake that failed', async () => {
      const server = echo({ handshakeTimeout: 30 });
      const port = await serve(server);
      const refused = once(server, 'tlsClientError');
      const raw = (await import('node:net')).connect(port, '127.0.0.1');
      const [error] = (await refused) as [Error];
      expect(error).to.have.property('code', 'ERR_TLS_HANDSHAKE_TIMEOUT');
      raw.destroy();
    });
  });

  describe('serveConnection', () => {
    it('gives a connection to a server that does not listen, with its time limits', async () => {
      const server = createPlainHttpServer({ headersTimeout: 40, connectionsCheckingInterval: 10 });
      const [left, right] = memoryPair('as written');
      const socket = offload.wrap(right, { role: 'server' });
      serveConnection(server, socket);
      const client = offload.wrap(left, { role: 'client', servername: 'localhost' });
      client.write('GET / HTTP/1.1\r\nHost: x\r\n');
      const failed = failure(client);
      const [answer] = (await once(client, 'data')) as [Buffer];
      expect(answer.toString()).to.match(/^HTTP\/1.1 408 /);
      expect(await failed).to.have.property('code', 'ERR_OFFLOAD_TRUNCATED');
    });

    it('lets the side that dialled be the HTTP server', async () => {
      const server = createPlainHttpServer((incoming, response) => {
        response.end(`you asked for ${String(incoming.url)}`);
      });
      const [left, right] = memoryPair('as written');
      const dialler = offload.wrap(left, { role: 'client', servername: 'localhost' });
      serveConnection(server, dialler);
      const acceptor = offload.wrap(right, { role: 'server' });
      acceptor.write('GET /inverted HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
      expect(await textOf(acceptor)).to.match(/^HTTP\/1.1 200 [^]*you asked for \/inverted$/);
      dialler.destroy();
    });
  });

  describe('http2Server and http2Connect', () => {
    const serveHttp2 = (options = {}) =>
      offload.http2Server(options, (incoming, response) => {
        response.setHeader('version', incoming.httpVersion);
        incoming.pipe(response);
      });

    async function post(session: ClientHttp2Session, body: string) {
      const stream = session.request({ ':method': 'POST', ':path': '/' });
      stream.end(body);
      // Read from the start: what nobody reads by the time it ends may be thrown away.
      const text = textOf(stream);
      const [headers] = (await once(stream, 'response')) as [Record<string, string>];
      return { headers, body: await text };
    }

    it('carry streams side by side', async () => {
      const port = await serve(serveHttp2());
      const session = offload.http2Connect(`https://127.0.0.1:${String(port)}`, {
        servername: 'localhost',
      });
      const body = 'h2'.repeat(100_000);
      const answers = await Promise.all(Array.from({ length: 10 }, () => post(session, body)));
      for (const answer of answers) {
        expect(answer.headers['version']).to.equal('2.0');
        expect(answer.body).to.equal(body);
      }
      session.close();
      await once(session, 'close');
    });

    it('gather frames into records that are well filled', async () => {
      const body = 'f'.repeat(1_000_000);
      const server = offload.http2Server({}, (incoming, response) => {
        incoming.resume();
        response.end(body);
      });
      const { tap, port } = await WireTap.to(await serve(server));
      const session = offload.http2Connect(`https://127.0.0.1:${String(port)}`, {
        servername: 'localhost',
        settings: { initialWindowSize: 2_000_000 },
      });
      await once(session, 'connect');
      session.setLocalWindowSize(2_000_000);
      const answers = await Promise.all(Array.from({ length: 3 }, () => post(session, '')));
      expect(answers.every((answer) => answer.body === body)).to.equal(true);
      const data = tap.records('fromServer').filter(({ type }) => type === 23);
      const bytes = data.reduce((sum, { length }) => sum + length - 24, 0);
      // What waits at a time is what HTTP/2 hands over in one turn: its frames, a window's worth.
      expect(bytes / data.length).to.be.greaterThan(8192);
      session.close();
      await once(session, 'close');
      tap.close();
    });

    it('serve HTTP/1.1 to those who want it', async () => {
      const port = await serve(serveHttp2());
      const agent = offload.httpsAgent();
      const outgoing = httpsRequest({ host: '127.0.0.1', port, agent, method: 'POST' });
      outgoing.end('old');
      const [head] = (await once(outgoing, 'response')) as [IncomingMessage];
      expect(head.headers['version']).to.equal('1.1');
      expect(await textOf(head)).to.equal('old');
      agent.destroy();
    });

    it('refuse a server that does not speak HTTP/2', async () => {
      const port = await serve(offload.httpServer({}));
      const session = offload.http2Connect(`https://127.0.0.1:${String(port)}`);
      const [error] = (await once(session, 'error')) as [Error];
      expect(error).to.have.property('code', 'ERR_OFFLOAD_POLICY');
    });

    it('tell of a peer that cannot be reached', async () => {
      const server = createTcpServer();
      const port = await listen(server);
      server.close();
      const session = offload.http2Connect(`https://127.0.0.1:${String(port)}`);
      const [error] = (await once(session, 'error')) as [Error];
      expect(error).to.have.property('code', 'ECONNREFUSED');
    });

    it('work with a client of node:http2 that is given our socket', async () => {
      const port = await serve(serveHttp2());
      const session = connectPlainHttp2('https://localhost', {
        createConnection: () =>
          offload.connect({
            host: '127.0.0.1',
            port,
            ALPNProtocols: ['h2'],
            servername: 'localhost',
          }),
      });
      expect((await post(session, 'x')).body).to.equal('x');
      session.close();
    });
  });

  describe('undiciConnector', () => {
    it('carries requests of an agent', async () => {
      const port = await serve(
        offload.httpServer({}, (incoming, response) => incoming.pipe(response)),
      );
      const dispatcher = new UndiciAgent({
        connect: offload.undiciConnector({ servername: 'localhost' }),
      });
      const url = `https://127.0.0.1:${String(port)}/`;
      for (let count = 0; count < 3; count += 1) {
        const { statusCode, body } = await undiciRequest(url, {
          dispatcher,
          method: 'POST',
          body: 'b'.repeat(100_000),
        });
        expect(statusCode).to.equal(200);
        expect(await body.text()).to.have.length(100_000);
      }
      const response = await undiciFetch(url, { dispatcher, method: 'POST', body: 'fetched' });
      expect(await response.text()).to.equal('fetched');
      await dispatcher.close();
    });

    it('speaks HTTP/2 when both ends do', async () => {
      const port = await serve(
        offload.http2Server({}, (incoming, response) => response.end(incoming.httpVersion)),
      );
      const dispatcher = new UndiciAgent({
        allowH2: true,
        connect: offload.undiciConnector({ servername: 'localhost', allowH2: true }),
      });
      const { body } = await undiciRequest(`https://127.0.0.1:${String(port)}/`, { dispatcher });
      expect(await body.text()).to.equal('2.0');
      await dispatcher.close();
    });

    it('gives the error of a connection to the request', async () => {
      const server = createTcpServer((socket) => socket.resume().end());
      const port = await serve(server);
      const dispatcher = new UndiciAgent({ connect: offload.undiciConnector() });
      const error: unknown = await undiciRequest(`https://127.0.0.1:${String(port)}/`, {
        dispatcher,
      }).catch((reason: unknown) => reason);
      expect(error).to.have.property('code', 'ECONNRESET');
      await dispatcher.close();
    });

    it('refuses to speak plain HTTP', async () => {
      const dispatcher = new UndiciAgent({ connect: offload.undiciConnector() });
      const error: unknown = await undiciRequest('http://127.0.0.1:1/', { dispatcher }).catch(
        (reason: unknown) => reason,
      );
      expect(error).to.have.property('code', 'ERR_OFFLOAD_POLICY');
      await dispatcher.close();
    });
  });

  it('let a foreign peer fail without harm to others', async () => {
    const port = await serve(offload.httpServer({}, (_incoming, response) => response.end('fine')));
    const raw = (await import('node:net')).connect(port, '127.0.0.1');
    raw.write('GET / HTTP/1.1\r\n\r\n');
    const socket = offload.connect({ host: '127.0.0.1', port });
    socket.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    expect(await textOf(socket)).to.match(/fine$/);
    raw.destroy();
  });
});

async function textOf(stream: AsyncIterable<unknown>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}
