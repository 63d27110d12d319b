import { once } from 'node:events';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import { text } from 'node:stream/consumers';
import type { IncomingMessage } from 'node:http';
import express, { type Request } from 'express';
import Fastify from 'fastify';
import { expect } from 'chai';
import { WebSocket, WebSocketServer } from 'ws';
import type { OffloadSocket } from '../../src/offload/index.ts';
import { listen } from '../offload/support/connections.ts';
import { examplesOf, runExample } from './support/documented-example.ts';
import { startWebServer } from './support/http-peers.ts';
import { applicationId, type Stage, startStage } from './support/stage.ts';

describe('httpsAgent and httpServer with the libraries people use', () => {
  let stage: Stage;
  const servers: Server[] = [];

  before(async () => {
    stage = await startStage();
  });

  afterEach(() => {
    for (const server of servers.splice(0)) server.close();
  });

  after(async () => {
    await stage.close();
  });

  /** A stock client with a certificate of its own. */
  async function get(port: number, options: RequestOptions = {}): Promise<string> {
    const friend = stage.ca.issue({ uris: ['spiffe://test/service/friend'] });
    const outgoing = httpsRequest({
      host: 'localhost',
      port,
      agent: false,
      ca: stage.ca.pem,
      cert: friend.certificatePem,
      key: friend.privateKeyPem,
      ...options,
    }).end();
    const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
    return text(response);
  }

  it('run the documented example of clients against a stock server', async () => {
    const { port, server } = await startWebServer(stage);
    servers.push(server);
    const [example = ''] = examplesOf('https.md');
    const output = await runExample(example, stage.sidecar.address, {
      'shop.example.org': `localhost:${String(port)}`,
    });
    expect(output.trim().split('\n').sort()).to.deep.equal([
      'axios hello over HTTP/1.1',
      'https 200',
      'ws hello',
    ]);
  });

  for (const [framework, index] of [
    ['Express', 1],
    ['Fastify', 2],
  ] as const) {
    it(`run the documented example of ${framework} for a stock client`, async () => {
      const example = examplesOf('https.md')[index] ?? '';
      expect(example).to.contain(framework.toLowerCase());
      // Its last words come once it listens; what asks then ends it.
      const friend = stage.ca.issue({ uris: ['spiffe://test/service/friend'] });
      const output = await runExample(
        `${example}
${probe}`,
        stage.sidecar.address,
        {
          '8443': '0',
          PROBE_OPTIONS: JSON.stringify({
            ca: stage.ca.pem.toString(),
            cert: friend.certificatePem.toString(),
            key: friend.privateKeyPem.toString(),
          }),
        },
      );
      expect(output.trim().split('\n')).to.deep.equal([
        'listening',
        'hello spiffe://test/service/friend, over https',
      ]);
    });
  }

  it('give Express what it asks a socket for', async () => {
    const app = express();
    app.get('/', (request: Request, response) => {
      const socket = request.socket as unknown as OffloadSocket;
      response.json({
        secure: request.secure,
        ip: request.ip,
        peer: socket.peerIdentity,
        host: request.hostname,
      });
    });
    const server = stage.offload.httpServer({ clientAuth: 'require' }, app);
    servers.push(server);
    const port = await listen(server);
    expect(JSON.parse(await get(port))).to.deep.equal({
      secure: true,
      ip: '127.0.0.1',
      peer: 'spiffe://test/service/friend',
      host: 'localhost',
    });
  });

  it('serve Fastify over HTTP/2, and its own injected requests', async () => {
    const fastify = Fastify({
      http2: true,
      serverFactory: (handler) => stage.offload.http2Server({}, handler) as never,
    });
    fastify.get('/', (request) => ({ version: request.raw.httpVersion }));
    await fastify.listen({ port: 0, host: '127.0.0.1' });
    const { port } = fastify.server.address() as AddressInfo;
    const session = stage.offload.http2Connect(`https://localhost:${String(port)}`);
    expect(JSON.parse(await text(session.request({ ':path': '/' })))).to.deep.equal({
      version: '2.0',
    });
    session.close();
    await fastify.close();
  });

  it('serve WebSocket to a stock client and tell who it is', async () => {
    const server = stage.offload.httpServer({ clientAuth: 'require' });
    servers.push(server);
    const sockets = new WebSocketServer({ server });
    sockets.on('connection', (socket, incoming) => {
      const { peerIdentity } = incoming.socket as unknown as OffloadSocket;
      socket.on('message', (message: Buffer) => {
        socket.send(`${String(peerIdentity)}: ${String(message.length)}`);
      });
    });
    const port = await listen(server);
    const friend = stage.ca.issue({ uris: ['spiffe://test/service/friend'] });
    const client = new WebSocket(`wss://localhost:${String(port)}/`, {
      ca: stage.ca.pem,
      cert: friend.certificatePem,
      key: friend.privateKeyPem,
    });
    await once(client, 'open');
    client.send(Buffer.alloc(1_000_000));
    const [answer] = (await once(client, 'message')) as [Buffer];
    expect(answer.toString()).to.equal('spiffe://test/service/friend: 1000000');
    client.close();
    await once(client, 'close');
  });

  it('let WebSocket talk both ways between two of ours, and close in order', async () => {
    const server = stage.offload.httpServer({ clientAuth: 'require' });
    servers.push(server);
    new WebSocketServer({ server }).on('connection', (socket) => {
      socket.on('message', (message: Buffer) => {
        socket.send(message);
      });
    });
    const port = await listen(server);
    const client = new WebSocket(`wss://localhost:${String(port)}/`, {
      agent: stage.offload.httpsAgent({ targetIdentities: [applicationId] }),
    });
    await once(client, 'open');
    for (let round = 0; round < 50; round += 1) {
      client.send(`round ${String(round)}`);
      const [answer] = (await once(client, 'message')) as [Buffer];
      expect(answer.toString()).to.equal(`round ${String(round)}`);
    }
    client.close(1000, 'done');
    const [code] = (await once(client, 'close')) as [number];
    expect(code).to.equal(1000);
  });
});

/** Asks the server of an example once, and ends the program. */
const probe = `
import { request } from 'node:https';
const target = typeof fastify === 'undefined' ? server : fastify.server;
if (!target.listening) await new Promise((resolve) => target.once('listening', resolve));
request({ host: 'localhost', port: target.address().port, agent: false, ...PROBE_OPTIONS }, (response) => {
  response.on('data', (chunk) => console.log(chunk.toString()));
  response.on('end', () => process.exit(0));
}).end();
`;
