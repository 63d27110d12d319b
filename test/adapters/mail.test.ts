import { expect } from 'chai';
import { createTransport } from 'nodemailer';
import { SMTPServer } from 'smtp-server';
import { createServer as createTlsServer } from 'node:tls';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { listen } from '../offload/support/connections.ts';
import { examplesOf, runExample } from './support/documented-example.ts';
import { type Stage, startStage } from './support/stage.ts';

describe('smtpGetSocket with a mail server', () => {
  let stage: Stage;
  let server: SMTPServer;
  let port: number;
  const letters: string[] = [];

  before(async () => {
    stage = await startStage();
    const { certificatePem, privateKeyPem } = stage.server;
    server = new SMTPServer({
      secure: true,
      cert: certificatePem,
      key: privateKeyPem,
      ca: stage.ca.pem.toString(),
      requestCert: true,
      rejectUnauthorized: true,
      authOptional: true,
      disableReverseLookup: true,
      onData: (stream, _session, done) => {
        text(stream).then(
          (letter) => {
            letters.push(letter);
            done();
          },
          (error: unknown) => {
            done(error as Error);
          },
        );
      },
    });
    server.on('error', () => undefined);
    const listener = server.listen(0, '127.0.0.1');
    await once(listener, 'listening');
    port = (listener.address() as AddressInfo).port;
  });

  after(async () => {
    await new Promise<void>((resolve) => {
      server.close(resolve);
    });
    await stage.close();
  });

  it('runs the documented example', async () => {
    const [example = ''] = examplesOf('mail.md');
    const output = await runExample(example, stage.sidecar.address, {
      'mail.example.org': 'localhost',
      '465': String(port),
    });
    expect(output).to.match(/^250 /);
    expect(letters.at(-1)).to.contain('from an application without a key');
  });

  it('gives the error of a connection to the sender', async () => {
    const transport = createTransport({
      host: 'localhost',
      port,
      getSocket: stage.offload.smtpGetSocket({ servername: 'elsewhere.test' }),
    });
    const error: unknown = await transport
      .sendMail({ from: 'a@example.org', to: 'b@example.org', text: 'x' })
      .catch((reason: unknown) => reason);
    expect(error).to.have.property('code', 'ERR_TLS_CERT_ALTNAME_INVALID');
  });

  it('does not fall back to a server without TLS', async () => {
    const plain = new SMTPServer({ disableReverseLookup: true });
    plain.on('error', () => undefined);
    const listener = plain.listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const transport = createTransport({
      host: 'localhost',
      port: (listener.address() as AddressInfo).port,
      getSocket: stage.offload.smtpGetSocket(),
    });
    const error: unknown = await transport.verify().catch((reason: unknown) => reason);
    expect(error).to.have.property('code', 'ERR_OFFLOAD_HANDSHAKE');
    await new Promise<void>((resolve) => {
      plain.close(resolve);
    });
  });

  it('hands over words the server said at once', async () => {
    const { certificatePem, privateKeyPem } = stage.server;
    const eager = createTlsServer({ cert: certificatePem, key: privateKeyPem }, (socket) => {
      socket.write('220 ready\r\n');
      socket.on('data', (data) => {
        socket.write(data.toString().startsWith('QUIT') ? '221 bye\r\n' : '250 ok\r\n');
      });
      socket.on('error', () => undefined);
    });
    const transport = createTransport({
      host: 'localhost',
      port: await listen(eager),
      getSocket: stage.offload.smtpGetSocket(),
    });
    expect(await transport.verify()).to.equal(true);
    eager.close();
  });
});
