import { connect } from 'node:http2';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { expect } from 'chai';
import { Agent, request } from 'undici';
import type { OffloadSocket } from '../../src/offload/index.ts';
import { listen } from '../offload/support/connections.ts';
import { examplesOf, runExample } from './support/documented-example.ts';
import { startWebServer } from './support/http-peers.ts';
import { applicationId, type Stage, startStage } from './support/stage.ts';
import { freePort } from '../support/free-port.ts';

describe('http2Server, http2Connect and undiciConnector with stock peers', () => {
  let stage: Stage;

  before(async () => {
    stage = await startStage();
  });

  after(async () => {
    await stage.close();
  });

  it('run the documented example of HTTP/2', async () => {
    const [example = ''] = examplesOf('http2.md');
    const free = await freePort();
    const output = await runExample(example, stage.sidecar.address, { '8443': String(free) });
    expect(output).to.equal(`hello ${applicationId}, over HTTP/2.0\n`);
  });

  it('run the documented example of undici against a stock server', async () => {
    const { port, server } = await startWebServer(stage);
    const [example = ''] = examplesOf('undici.md');
    const output = await runExample(example, stage.sidecar.address, {
      'shop.example.org': `localhost:${String(port)}`,
    });
    expect(output).to.equal('200 hello over HTTP/2.0\n');
    server.close();
  });

  it('serve the fetch that Node has built in', async () => {
    const { port, server } = await startWebServer(stage);
    const dispatcher = new Agent({ connect: stage.offload.undiciConnector() });
    const options = { dispatcher } as unknown as RequestInit;
    const response = await fetch(`https://localhost:${String(port)}/`, options);
    expect(await response.text()).to.equal('hello over HTTP/1.1');
    await dispatcher.close();
    server.close();
  });

  it('serve a stock client and tell who it is', async () => {
    const server = stage.offload.http2Server({ clientAuth: 'require' }, (incoming, response) => {
      const { peerIdentity, encrypted, remoteAddress, authorized } =
        incoming.socket as unknown as OffloadSocket;
      const facts = [peerIdentity, encrypted, authorized, remoteAddress, incoming.httpVersion];
      response.end(facts.join(' '));
    });
    const port = await listen(server);
    const friend = stage.ca.issue({ uris: ['spiffe://test/service/friend'] });
    const session = connect(`https://localhost:${String(port)}`, {
      ca: stage.ca.pem,
      cert: friend.certificatePem,
      key: friend.privateKeyPem,
    });
    expect(await text(session.request({ ':path': '/' }))).to.equal(
      'spiffe://test/service/friend true true 127.0.0.1 2.0',
    );
    session.close();
    await once(session, 'close');
    server.close();
  });

  it('talk to a stock server, streams side by side', async () => {
    const { port, server } = await startWebServer(stage);
    const session = stage.offload.http2Connect(`https://localhost:${String(port)}`);
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => text(session.request({ ':path': '/' }))),
    );
    expect(new Set(answers)).to.deep.equal(new Set(['hello over HTTP/2.0']));
    const socket = session.socket as unknown as OffloadSocket;
    expect(socket.getPeerCertificate())
      .to.have.property('subjectaltname')
      .that.contains('localhost');
    expect(socket.remotePort).to.equal(port);
    session.close();
    await once(session, 'close');
    server.close();
  });

  it('pool connections of undici to a stock server that speaks HTTP/1.1 only to it', async () => {
    const { port, server } = await startWebServer(stage);
    const dispatcher = new Agent({ connections: 2, connect: stage.offload.undiciConnector() });
    const answers = await Promise.all(
      Array.from({ length: 10 }, async () => {
        const { body } = await request(`https://localhost:${String(port)}/`, { dispatcher });
        return body.text();
      }),
    );
    expect(new Set(answers)).to.deep.equal(new Set(['hello over HTTP/1.1']));
    await dispatcher.close();
    server.close();
  });
});
