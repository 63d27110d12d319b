import { get } from 'node:https';
import { createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, TLSSocket, createSecureContext } from 'node:tls';
import * as grpc from '@grpc/grpc-js';
import axios from 'axios';
import { expect } from 'chai';
import { Redis } from 'ioredis';
import { Kafka, logLevel } from 'kafkajs';
import { MqttClient } from 'mqtt';
import { createTransport } from 'nodemailer';
import pg from 'pg';
import { Agent, fetch, request as undiciRequest } from 'undici';
import { WebSocket } from 'ws';
import { createOffload, type Offload } from '../../src/offload/index.ts';
import { listen } from '../offload/support/connections.ts';
import { startTestSidecar, type TestSidecar } from '../sidecar/fixture.ts';
import { FakeSource } from '../sidecar/support/fake-source.ts';
import { createTestCa, type IssuedIdentity, type TestCa } from '../support/test-ca.ts';

/** Makes one request to a server on localhost and rejects with what the library's user is told. */
type Attempt = (offload: Offload, port: number) => Promise<unknown>;

const attempts: Readonly<Record<string, Attempt>> = {
  'https.Agent': (offload, port) =>
    new Promise((resolve, reject) => {
      get({ host: 'localhost', port, agent: offload.httpsAgent() }, resolve).on('error', reject);
    }),
  axios: (offload, port) =>
    axios.get(`https://localhost:${String(port)}/`, { httpsAgent: offload.httpsAgent() }),
  undici: (offload, port) =>
    undiciRequest(`https://localhost:${String(port)}/`, {
      dispatcher: new Agent({ connect: offload.undiciConnector() }),
    }),
  fetch: (offload, port) =>
    fetch(`https://localhost:${String(port)}/`, {
      dispatcher: new Agent({ connect: offload.undiciConnector() }),
    }),
  'http2.connect': (offload, port) =>
    new Promise((resolve, reject) => {
      const session = offload.http2Connect(`https://localhost:${String(port)}`);
      session.on('error', reject);
      session.request({ ':path': '/' }).on('error', reject).on('response', resolve);
    }),
  ws: (offload, port) =>
    new Promise((resolve, reject) => {
      const agent = offload.httpsAgent();
      new WebSocket(`wss://localhost:${String(port)}/`, { agent })
        .on('error', reject)
        .on('open', resolve);
    }),
  gRPC: (offload, port) =>
    new Promise((resolve, reject) => {
      const credentials = offload.grpcChannelCredentials(grpc);
      const client = new grpc.Client(`localhost:${String(port)}`, credentials, {
        'grpc.use_local_subchannel_pool': 1,
      });
      const same = (bytes: Buffer): Buffer => bytes;
      client.makeUnaryRequest('/a.B/C', same, same, Buffer.alloc(0), (error, answer) => {
        client.close();
        if (error === null) resolve(answer);
        else reject(error);
      });
    }),
  pg: async (offload, port) => {
    const client = new pg.Client({
      ...{ host: 'localhost', port, user: 'app', database: 'app' },
      stream: () => offload.pgStream(),
    });
    client.on('error', () => undefined);
    await client.connect();
  },
  ioredis: (offload, port) =>
    new Promise((resolve, reject) => {
      const redis = new Redis({
        ...{ host: 'localhost', port, retryStrategy: () => null },
        Connector: offload.redisConnector(),
      });
      redis.on('error', reject).on('ready', resolve);
    }),
  mqtt: (offload, port) =>
    new Promise((resolve, reject) => {
      const client = new MqttClient(offload.mqttStreamBuilder(), {
        ...{ host: 'localhost', port, reconnectPeriod: 0 },
      });
      client.on('error', reject).on('connect', resolve);
      client.on('close', () => client.end(true));
    }),
  nodemailer: (offload, port) =>
    createTransport({ host: 'localhost', port, getSocket: offload.smtpGetSocket() }).verify(),
  kafkajs: async (offload, port) => {
    const kafka = new Kafka({
      ...{ brokers: [`localhost:${String(port)}`], retry: { retries: 0 } },
      logLevel: logLevel.NOTHING,
      socketFactory: offload.kafkaSocketFactory(),
    });
    const admin = kafka.admin();
    await admin.connect().finally(() => admin.disconnect());
  },
};

describe('what users of the libraries are told', function () {
  this.timeout(30_000);
  let ca: TestCa;
  let sidecar: TestSidecar;
  let source: FakeSource;
  let offload: Offload;
  let servers: Server[];
  let sockets: Set<Socket>;

  before(async () => {
    ca = createTestCa();
    source = FakeSource.enrolled(ca, ca.issue({ uris: ['spiffe://test/service/app'] }));
    sidecar = await startTestSidecar({ ca, sources: { app: source } });
  });

  beforeEach(() => {
    offload = createOffload({ address: sidecar.address });
    servers = [];
    sockets = new Set();
  });

  afterEach(async () => {
    for (const socket of sockets) socket.destroy();
    for (const server of servers) server.close();
    await offload.close();
  });

  after(async () => {
    await sidecar.close();
  });

  const started = async (server: Server): Promise<number> => {
    servers.push(server);
    server.on('connection', (socket) => {
      sockets.add(socket.on('error', () => undefined));
    });
    return listen(server);
  };

  /** TLS at once, or for `pg` after its request, that then listens and says nothing but a greeting. */
  function silentServer(
    library: string,
    issued: IssuedIdentity,
    heard: () => void = () => undefined,
  ): Server {
    const key = { cert: issued.certificatePem, key: issued.privateKeyPem };
    const listenTo = (socket: TLSSocket): void => {
      socket.on('error', () => undefined).on('data', heard);
      if (library === 'nodemailer') socket.write('220 welcome\r\n');
    };
    if (library !== 'pg') {
      const server = createTlsServer({ ...key, ALPNProtocols: ['h2', 'http/1.1'] }, listenTo);
      return server.on('tlsClientError', () => undefined);
    }
    return createTcpServer((socket) => {
      socket.once('data', () => {
        socket.write('S');
        const context = createSecureContext(key);
        listenTo(new TLSSocket(socket, { isServer: true, secureContext: context }));
      });
    });
  }

  for (const [library, attempt] of Object.entries(attempts)) {
    const toldBy = async (port: number, client = offload): Promise<string> => {
      const error: unknown = await attempt(client, port).then(
        () => new Error('it was connected'),
        (reason: unknown) => reason,
      );
      return wordsOf(error);
    };

    describe(`by ${library}`, () => {
      it('when the sidecar is away', async () => {
        const port = await started(createTcpServer());
        const lost = createOffload({
          address: `unix:${sidecar.directory}/nobody.sock`,
          timeouts: { sidecarMs: 20 },
        });
        // pg asks for TLS first.
        servers[0]?.on('connection', (socket: Socket) =>
          socket.once('data', () => socket.write('S')),
        );
        expect(await toldBy(port, lost)).to.contain('ERR_OFFLOAD_UNAVAILABLE');
        await lost.close();
      });

      it('when the server does not speak TLS', async () => {
        const port = await started(
          createTcpServer((socket) => socket.on('error', () => undefined).end('220 welcome\r\n')),
        );
        expect(await toldBy(port)).to.contain('ERR_OFFLOAD_HANDSHAKE');
      });

      it('when the server is another', async () => {
        const issued = ca.issue({ dnsNames: ['elsewhere.test'] });
        const port = await started(silentServer(library, issued));
        expect(await toldBy(port)).to.contain('ERR_TLS_CERT_ALTNAME_INVALID');
      });

      it('when the server is revoked in the middle of a request', async () => {
        const spiffeId = `spiffe://test/service/${library.toLowerCase()}`;
        const issued = ca.issue({ dnsNames: ['localhost'], uris: [spiffeId] });
        let heard: (() => void) | undefined;
        const request = new Promise<void>((resolve) => {
          heard = () => {
            resolve();
          };
        });
        const port = await started(silentServer(library, issued, heard));
        const told = toldBy(port);
        await request;
        source.revocations.add({ spiffeId, reason: 'keyCompromise' });
        expect(await told).to.match(toldOfRevocation[library] ?? /ERR_OFFLOAD_PEER_REVOKED/);
      });
    });
  }

  it('is the same on each adapter there is', () => {
    const adapters = Object.getOwnPropertyNames(Object.getPrototypeOf(offload)).filter((name) =>
      /Agent|Connector|Connect$|Credentials|Stream|Builder|Factory|GetSocket/.test(name),
    );
    const code = Object.values(attempts).map(String).join('\n');
    for (const name of adapters) expect(code).to.contain(`.${name}(`);
  });
});

/** Libraries that pass on the text of such an error, but not its code. */
const toldOfRevocation: Readonly<Record<string, RegExp>> = {
  gRPC: /UNAVAILABLE: .* was revoked: keyCompromise/,
  nodemailer: /ESOCKET .* was revoked: keyCompromise/,
};

/** Code and text of an error, and of all it has in it. */
function wordsOf(error: unknown, depth = 0): string {
  if (!(error instanceof Error) || depth > 4) return String(error);
  const { code, cause, errors, originalError } = error as Error & Record<string, unknown>;
  const inner = [cause, originalError, ...(Array.isArray(errors) ? errors : [])];
  return [code, error.message, ...inner.map((each) => wordsOf(each, depth + 1))].join(' ');
}
