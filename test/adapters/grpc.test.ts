import { once } from 'node:events';
import * as grpc from '@grpc/grpc-js';
import { expect } from 'chai';
import { grpcPeer, grpcPeerIdentityKey, type OffloadServer } from '../../src/offload/index.ts';
import { listen } from '../offload/support/connections.ts';
import { examplesOf, runExample } from './support/documented-example.ts';
import { applicationId, type Stage, startStage } from './support/stage.ts';
import { freePort } from '../support/free-port.ts';

type Text = string;
interface EchoClient extends grpc.Client {
  say(request: Text, metadata: grpc.Metadata, done: grpc.requestCallback<Text>): void;
  chat(): grpc.ClientDuplexStream<Text, Text>;
}
const codec = {
  requestSerialize: (value: Text) => Buffer.from(value),
  requestDeserialize: (bytes: Buffer) => bytes.toString(),
  responseSerialize: (value: Text) => Buffer.from(value),
  responseDeserialize: (bytes: Buffer) => bytes.toString(),
};
const echo = {
  say: { path: '/test.Echo/Say', requestStream: false, responseStream: false, ...codec },
  chat: { path: '/test.Echo/Chat', requestStream: true, responseStream: true, ...codec },
};
const EchoStub = grpc.makeGenericClientConstructor(echo, 'test.Echo');

describe('gRPC over offloaded connections', () => {
  let stage: Stage;
  let listener: OffloadServer;
  let server: grpc.Server;
  let port: number;
  /** What handlers and interceptors saw of the last call. */
  let seen: Record<string, unknown> = {};
  let seenByInterceptor: grpc.MetadataValue[] = [];

  before(async () => {
    stage = await startStage();
    const watch: grpc.ServerInterceptor = (_method, call) =>
      new grpc.ServerInterceptingCall(call, {
        start: (next) => {
          next({
            onReceiveMetadata: (metadata, pass) => {
              seenByInterceptor = metadata.get(grpcPeerIdentityKey);
              pass(metadata);
            },
          });
        },
      });
    server = new grpc.Server({ interceptors: [watch] });
    server.addService(echo, {
      say: (call: grpc.ServerUnaryCall<Text, Text>, done: grpc.sendUnaryData<Text>) => {
        const { subjectaltname, raw } = call.getAuthContext().sslPeerCertificate ?? {};
        seen = {
          identity: grpcPeer(call)?.peerIdentity,
          handshakeId: grpcPeer(call)?.handshakeId,
          inMetadata: call.metadata.get(grpcPeerIdentityKey),
          peer: call.getPeer(),
          security: call.getAuthContext().transportSecurityType,
          names: subjectaltname,
          raw,
          authorization: call.metadata.get('authorization'),
        };
        done(null, call.request);
      },
      chat: (call: grpc.ServerDuplexStream<Text, Text>) => {
        call.on('data', (text: Text) =>
          call.write(`${String(grpcPeer(call)?.peerIdentity)} ${text}`),
        );
        call.on('end', () => {
          call.end();
        });
      },
    });
    listener = stage.offload.grpcServer(grpc, server, { clientAuth: 'request' });
    port = await listen(listener);
  });

  after(async () => {
    listener.close();
    await new Promise((resolve) => {
      server.tryShutdown(resolve);
    });
    await stage.close();
  });

  const open = (credentials: grpc.ChannelCredentials, options = {}): EchoClient =>
    new EchoStub(`localhost:${String(port)}`, credentials, options) as unknown as EchoClient;

  const say = (client: EchoClient, text: Text, metadata = new grpc.Metadata()): Promise<Text> =>
    new Promise((resolve, reject) => {
      client.say(text, metadata, (error, answer) => {
        if (error === null) resolve(answer ?? '');
        else reject(error);
      });
    });

  it('runs the documented example', async () => {
    const [example = ''] = examplesOf('grpc.md');
    const output = await runExample(example, stage.sidecar.address, {
      '50051': String(await freePort()),
    });
    expect(output).to.equal(`hello ${applicationId}, I heard good morning\n`);
  });

  it('shows handlers and interceptors who the peer is', async () => {
    const client = open(stage.offload.grpcChannelCredentials(grpc));
    expect(await say(client, 'hello')).to.equal('hello');
    expect(seen).to.include({ identity: applicationId, security: 'ssl' });
    expect(seen['inMetadata']).to.deep.equal([applicationId]);
    expect(seenByInterceptor).to.deep.equal([applicationId]);
    expect(seen['peer']).to.match(/^127\.0\.0\.1:\d+$/);
    expect(seen['names']).to.contain(`URI:${applicationId}`);
    expect(seen['handshakeId']).to.be.a('string');
    client.close();
  });

  it('removes what a client claims to be', async () => {
    const client = open(stage.offload.grpcChannelCredentials(grpc));
    const metadata = new grpc.Metadata();
    metadata.set(grpcPeerIdentityKey, 'spiffe://test/operator/root');
    await say(client, 'hello', metadata);
    expect(seen['inMetadata']).to.deep.equal([applicationId]);
    client.close();
  });

  it('serves a stock client, and one without a certificate as nobody', async () => {
    const friend = stage.ca.issue({ uris: ['spiffe://test/service/friend'] });
    const known = open(
      grpc.credentials.createSsl(stage.ca.pem, friend.privateKeyPem, friend.certificatePem),
    );
    await say(known, 'hello');
    expect(seen['identity']).to.equal('spiffe://test/service/friend');
    known.close();
    const unknown = open(grpc.credentials.createSsl(stage.ca.pem));
    const metadata = new grpc.Metadata();
    metadata.set(grpcPeerIdentityKey, applicationId);
    await say(unknown, 'hello', metadata);
    expect(seen).to.include({ identity: undefined, security: undefined, raw: undefined });
    expect(seen['inMetadata']).to.deep.equal([]);
    unknown.close();
  });

  it('talks to a stock server', async () => {
    const { certificatePem, privateKeyPem } = stage.server;
    const stock = new grpc.Server();
    let names: string | undefined;
    stock.addService(echo, {
      say: (call: grpc.ServerUnaryCall<Text, Text>, done: grpc.sendUnaryData<Text>) => {
        names = call.getAuthContext().sslPeerCertificate?.subjectaltname;
        done(null, call.request);
      },
      chat: () => undefined,
    });
    const bound = await new Promise<number>((resolve, reject) => {
      const credentials = grpc.ServerCredentials.createSsl(
        stage.ca.pem,
        [{ cert_chain: certificatePem, private_key: privateKeyPem }],
        true,
      );
      stock.bindAsync('127.0.0.1:0', credentials, (error, boundPort) => {
        if (error === null) resolve(boundPort);
        else reject(error);
      });
    });
    const client = new EchoStub(
      `localhost:${String(bound)}`,
      stage.offload.grpcChannelCredentials(grpc),
    ) as unknown as EchoClient;
    expect(await say(client, 'stock')).to.equal('stock');
    expect(names).to.contain(applicationId);
    client.close();
    stock.forceShutdown();
  });

  it('combines with call credentials', async () => {
    const bearer = grpc.credentials.createFromMetadataGenerator((_parameters, done) => {
      const metadata = new grpc.Metadata();
      metadata.set('authorization', 'Bearer of news');
      done(null, metadata);
    });
    const client = open(
      grpc.credentials.combineChannelCredentials(
        stage.offload.grpcChannelCredentials(grpc),
        bearer,
      ),
    );
    await say(client, 'hello');
    expect(seen['authorization']).to.deep.equal(['Bearer of news']);
    client.close();
  });

  it('keeps connections of different wishes apart', async () => {
    const right = open(
      stage.offload.grpcChannelCredentials(grpc, { targetIdentities: [applicationId] }),
    );
    const wrong = open(
      stage.offload.grpcChannelCredentials(grpc, { targetIdentities: ['spiffe://test/service/x'] }),
    );
    expect(await say(right, 'hello')).to.equal('hello');
    const error: unknown = await say(wrong, 'hello').catch((reason: unknown) => reason);
    expect(error).to.have.property('code', grpc.status.UNAVAILABLE);
    expect(error).to.have.property('details').that.contains('ERR_TLS_CERT_ALTNAME_INVALID');
    right.close();
    wrong.close();
  });

  it('verifies the name the channel is told to', async () => {
    const named = open(stage.offload.grpcChannelCredentials(grpc), {
      'grpc.ssl_target_name_override': 'elsewhere.test',
    });
    const error: unknown = await say(named, 'hello').catch((reason: unknown) => reason);
    expect(error).to.have.property('details').that.contains('elsewhere.test');
    named.close();
  });

  it('streams both ways, and carries large messages', async () => {
    const client = open(stage.offload.grpcChannelCredentials(grpc));
    const call = client.chat();
    for (let round = 0; round < 20; round += 1) {
      call.write(`round ${String(round)}`);
      const [answer] = (await once(call, 'data')) as [Text];
      expect(answer).to.equal(`${applicationId} round ${String(round)}`);
    }
    call.end();
    await once(call.resume(), 'end');
    const large = 'g'.repeat(2_000_000);
    expect(await say(client, large)).to.equal(large);
    client.close();
  });

  for (const ALPNProtocols of [undefined, ['http/1.1']]) {
    it(`refuses a client that offers ${String(ALPNProtocols ?? 'no protocol')}`, async () => {
      const options = { host: 'localhost', port, ...(ALPNProtocols && { ALPNProtocols }) };
      const socket = stage.offload.connect(options);
      const [error] = (await once(socket, 'error')) as [Error];
      expect(error)
        .to.have.property('code')
        .that.is.oneOf(['ERR_OFFLOAD_HANDSHAKE', 'ERR_OFFLOAD_TRUNCATED']);
    });
  }

  it('keeps nothing of connections that have ended', async () => {
    const kept = () =>
      (server as unknown as { http2Servers: Map<unknown, unknown> }).http2Servers.size;
    for (let round = 0; round < 5; round += 1) {
      const client = open(stage.offload.grpcChannelCredentials(grpc), {
        'grpc.use_local_subchannel_pool': 1,
      });
      await say(client, 'hello');
      expect(kept()).to.be.greaterThan(0);
      client.close();
    }
    const deadline = Date.now() + 5000;
    while (kept() > 0 && Date.now() < deadline)
      await new Promise((resolve) => setImmediate(resolve));
    expect(kept()).to.equal(0);
  });
});
