import { expect } from 'chai';
import { Kafka, logLevel } from 'kafkajs';
import { createServer, type TLSSocket } from 'node:tls';
import { listen } from '../offload/support/connections.ts';
import { applicationName, type Stage, startStage } from './support/stage.ts';

describe('kafkaSocketFactory', () => {
  let stage: Stage;

  before(async () => {
    stage = await startStage();
  });

  after(async () => {
    await stage.close();
  });

  // No broker: what reaches a TLS server is what a broker would get.
  it('carries the first request of a client, mutually authenticated', async () => {
    const { certificatePem, privateKeyPem } = stage.server;
    let seen: ((request: { bytes: Buffer; peer: string }) => void) | undefined;
    const request = new Promise<{ bytes: Buffer; peer: string }>((resolve) => {
      seen = resolve;
    });
    const server = createServer(
      { cert: certificatePem, key: privateKeyPem, ca: stage.ca.pem, requestCert: true },
      (socket: TLSSocket) => {
        socket.on('error', () => undefined);
        const { subject } = socket.getPeerCertificate();
        socket.once('data', (bytes) => seen?.({ bytes, peer: String(subject.CN) }));
      },
    );
    const port = await listen(server);
    const kafka = new Kafka({
      clientId: 'app',
      brokers: [`localhost:${String(port)}`],
      logLevel: logLevel.NOTHING,
      retry: { retries: 0 },
      requestTimeout: 200,
      socketFactory: stage.offload.kafkaSocketFactory(),
    });
    const admin = kafka.admin();
    const connecting: Promise<unknown> = admin.connect().catch((reason: unknown) => reason);
    const { bytes, peer } = await request;
    expect(peer).to.equal(applicationName);
    // Size, then api key 18 (ApiVersions).
    expect(bytes.readInt32BE(0)).to.equal(bytes.length - 4);
    expect(bytes.readInt16BE(4)).to.equal(18);
    await connecting;
    await admin.disconnect();
    server.close();
  });

  it('tells why it does not connect', async () => {
    const { certificatePem, privateKeyPem } = stage.server;
    const server = createServer({ cert: certificatePem, key: privateKeyPem });
    server.on('tlsClientError', () => undefined);
    const port = await listen(server);
    const kafka = new Kafka({
      brokers: [`localhost:${String(port)}`],
      logLevel: logLevel.NOTHING,
      retry: { retries: 0 },
      socketFactory: stage.offload.kafkaSocketFactory({ servername: 'elsewhere.test' }),
    });
    const admin = kafka.admin();
    const error: unknown = await admin.connect().catch((reason: unknown) => reason);
    expect(String(error)).to.contain('elsewhere.test');
    await admin.disconnect();
    server.close();
  });
});
