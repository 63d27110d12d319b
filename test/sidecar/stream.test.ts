import { expect } from 'chai';
import { once } from 'node:events';
import { type AddressInfo } from 'node:net';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:tls';
import { connect } from 'node:net';
import { ByteSource } from './model-callers/byte-source.ts';
import {
  connectWire,
  type WireClient,
  type WireMessage,
  type WireStream,
} from './model-callers/wire.ts';
import type { IssuedIdentity } from '../support/test-ca.ts';
import { startTestSidecar, type TestSidecar, webIdentity } from './fixture.ts';

const clientStart = { client_start: { target_name: 'peer.example.org', tls_ciphersuites: [] } };
const serverStart = { server_start: { in_bytes: Buffer.alloc(0) } };

describe('SetUpSession', () => {
  let sidecar: TestSidecar;
  let wire: WireClient;

  before(async () => {
    sidecar = await startTestSidecar({
      identities: {
        web: webIdentity,
        api: { dnsNames: ['api.example.org'] },
        old: { ...expired(), dnsNames: ['old.example.org'] },
      },
      extra: 'tls: { handshakeTimeout: 2s, firstMessageTimeout: 150ms, idleTimeout: 150ms }\n',
    });
    wire = connectWire(sidecar.address);
  });

  after(async () => {
    wire.close();
    await sidecar.close();
  });

  async function exchange(stream: WireStream, ...requests: WireMessage[]): Promise<WireMessage[]> {
    for (const request of requests) stream.send(request);
    const responses: WireMessage[] = [];
    while (responses.length < requests.length) {
      const response = await stream.receive();
      if (response === undefined) break;
      responses.push(response);
    }
    return responses;
  }

  describe('answers', () => {
    it('a client start with a ClientHello, our identity and a handshake id', async () => {
      const stream = wire.open();
      const [response] = await exchange(stream, clientStart);
      expect(response!['status']).to.deep.equal({});
      expect((response!['out_frames'] as Buffer).subarray(0, 3)).to.deep.equal(
        Buffer.from([22, 3, 1]),
      );
      expect(response!['local_identity']).to.include({ spiffe_id: webIdentity.uris![0] });
      expect(response!['handshake_id']).to.be.a('string').with.length.greaterThan(8);
      stream.cancel();
    });

    it('a server start without bytes with nothing but a status', async () => {
      const stream = wire.open();
      const [response] = await exchange(stream, serverStart);
      expect(response!['status']).to.deep.equal({});
      expect(response).to.not.have.property('out_frames');
      expect(response).to.not.have.property('result');
      stream.cancel();
    });

    it('every request of several sent at once, in order', async () => {
      const stream = wire.open();
      const hello = await clientHello(wire);
      const pieces = [hello.subarray(0, 1), hello.subarray(1, 9), hello.subarray(9)];
      const responses = await exchange(
        stream,
        serverStart,
        ...pieces.map((in_bytes) => ({ next: { in_bytes } })),
      );
      expect(responses.map((response) => response['bytes_consumed'] ?? 0)).to.deep.equal([
        0,
        1,
        8,
        hello.length - 9,
      ]);
      expect(responses.map((response) => response['out_frames'] !== undefined)).to.deep.equal([
        false,
        false,
        false,
        true,
      ]);
      stream.cancel();
    });

    it('an empty next with no progress', async () => {
      const stream = wire.open();
      const responses = await exchange(stream, serverStart, { next: {} }, { next: {} });
      expect(responses).to.have.length(3);
      stream.cancel();
    });

    it('a resumption ticket on its own with a status, and ends the stream', async () => {
      const stream = wire.open();
      const [response] = await exchange(stream, {
        resumption_ticket: { in_bytes: [Buffer.from([4, 0, 0, 0])], connection_id: '1' },
      });
      expect(response).to.deep.equal({ status: {} });
      expect((await stream.status()).code).to.equal(0);
    });
  });

  describe('refuses', () => {
    const cases: { name: string; requests: WireMessage[]; code: number; reason: string }[] = [
      {
        name: 'next first',
        requests: [{ next: { in_bytes: Buffer.from([22]) } }],
        code: 9,
        reason: 'out_of_order',
      },
      { name: 'no kind of request', requests: [{}], code: 3, reason: 'invalid_request' },
      {
        name: 'no target at all',
        requests: [{ client_start: {} }],
        code: 3,
        reason: 'invalid_request',
      },
      {
        name: 'TLS 1.3 only',
        requests: [
          { client_start: { target_name: 'a.b', min_tls_version: 1, max_tls_version: 1 } },
        ],
        code: 9,
        reason: 'version_not_supported',
      },
      {
        name: 'a version that does not exist',
        requests: [{ client_start: { target_name: 'a.b', max_tls_version: 7 } }],
        code: 3,
        reason: 'invalid_request',
      },
      {
        name: 'a target that is no host',
        requests: [{ client_start: { target_name: 'https://a.b/' } }],
        code: 3,
        reason: 'invalid_request',
      },
      {
        name: 'an identity nobody has',
        requests: [{ server_start: { identity_names: ['nobody'] } }],
        code: 5,
        reason: 'identity_unknown',
      },
      {
        name: 'an identity by a name of no defined kind',
        requests: [{ server_start: { local_identities: [{ uid: '7' }] } }],
        code: 3,
        reason: 'invalid_request',
      },
      {
        name: 'a target identity by a name of no defined kind',
        requests: [{ client_start: { target_identities: [{ username: 'x' }] } }],
        code: 3,
        reason: 'invalid_request',
      },
      {
        name: 'a target identity that is no SPIFFE ID',
        requests: [{ client_start: { target_identities: [{ spiffe_id: 'spiffe://UPPER/x' }] } }],
        code: 3,
        reason: 'invalid_request',
      },
      {
        name: 'an identity whose certificate expired',
        requests: [{ server_start: { identity_names: ['old'] } }],
        code: 9,
        reason: 'identity_expired',
      },
      {
        name: 'laxer client authentication than the policy',
        requests: [{ server_start: { client_auth: 1 } }],
        code: 9,
        reason: 'client_auth_too_lax',
      },
      {
        name: 'a suite that does not exist',
        requests: [{ client_start: { target_name: 'a.b', tls_ciphersuites: [9] } }],
        code: 3,
        reason: 'invalid_request',
      },
      {
        name: 'a reserved exporter label',
        requests: [
          {
            client_start: {
              target_name: 'a.b',
              keying_material: [{ label: 'key expansion', length: 16 }],
            },
          },
        ],
        code: 3,
        reason: 'invalid_request',
      },
      {
        name: 'a label that is not ASCII',
        requests: [{ server_start: { keying_material: [{ label: 'é', length: 16 }] } }],
        code: 3,
        reason: 'invalid_request',
      },
      {
        name: 'more keying material than is given',
        requests: [{ server_start: { keying_material: [{ label: 'a', length: 1025 }] } }],
        code: 3,
        reason: 'invalid_request',
      },
      {
        name: 'an ALPN name that cannot be sent',
        requests: [
          { client_start: { target_name: 'a.b', application_protocols: ['x'.repeat(256)] } },
        ],
        code: 3,
        reason: 'invalid_request',
      },
      {
        name: 'a request larger than any flight',
        requests: [{ server_start: { in_bytes: Buffer.alloc(140_000) } }],
        code: 8,
        reason: 'request_too_large',
      },
    ];
    for (const { name, requests, code, reason } of cases) {
      it(`${name}, in the first response and at the end of the stream`, async () => {
        const before = sidecar.log.length;
        const stream = wire.open();
        const [response] = await exchange(stream, ...requests);
        expect(response!['status']).to.include({ code });
        expect(response!['failure']).to.include({ reason });
        expect(await stream.status()).to.include({ code, reason });
        expect(sidecar.log.slice(before).map(({ msg }) => msg)).to.deep.equal(['request refused']);
      });
    }

    it('a second start, without a message that would be taken for progress', async () => {
      const stream = wire.open();
      const responses = await exchange(stream, clientStart, clientStart);
      expect(responses).to.have.length(1);
      expect(await stream.status()).to.include({ code: 9, reason: 'out_of_order' });
    });

    it('a message beyond what gRPC is allowed to take', async () => {
      const stream = wire.open();
      const responses = await exchange(stream, {
        server_start: { in_bytes: Buffer.alloc(300_000) },
      });
      expect(responses).to.have.length(0);
      expect(await stream.status()).to.include({ code: 8 });
    });

    it('a stream without a start message', async () => {
      const stream = wire.open();
      stream.end();
      expect(await stream.status()).to.include({ code: 9, reason: 'out_of_order' });
    });
  });

  describe('ends in time', () => {
    it('a stream on which nothing comes', async () => {
      expect(await wire.open().status()).to.include({ code: 4, reason: 'no_start_message' });
    });

    it('a handshake whose peer says nothing', async () => {
      const stream = wire.open();
      await exchange(stream, serverStart);
      expect(await stream.status()).to.include({ code: 4, reason: 'peer_silent' });
    });

    it('a handshake whose peer stops in the middle', async () => {
      const stream = wire.open();
      await exchange(stream, { server_start: { in_bytes: await clientHello(wire) } });
      expect(await stream.status()).to.include({ code: 4, reason: 'peer_silent' });
    });

    it('a handshake that goes on and on', async () => {
      const stream = wire.open();
      await exchange(stream, serverStart);
      let status: { code: number; reason: string | undefined } | undefined;
      void stream.status().then((value) => (status = value));
      while (status === undefined) {
        stream.send({ next: {} });
        if ((await stream.receive()) === undefined) status = await stream.status();
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      expect(status).to.include({ code: 4, reason: 'handshake_timeout' });
    });
  });

  describe('tells peer and caller about a failure', () => {
    for (const { name, bytes, number } of [
      {
        name: 'HTTP',
        bytes: Buffer.from('GET / HTTP/1.1\r\n\r\n'),
        number: undefined,
      },
      {
        name: 'a record of an unknown type',
        bytes: Buffer.from([99, 3, 3, 0, 1, 0]),
        number: 10,
      },
    ]) {
      it(`when the first bytes are ${name}`, async () => {
        const stream = wire.open();
        const [response] = await exchange(stream, { server_start: { in_bytes: bytes } });
        const frames = response!['out_frames'] as Buffer;
        expect(frames[0]).to.equal(21);
        expect(response!['failure']).to.include({ alert_sent: true });
        if (number !== undefined) expect(response!['failure']).to.include({ alert: number });
        expect(response!['status'].code).to.be.greaterThan(0);
        expect((await stream.status()).code).to.be.greaterThan(0);
      });
    }

    it('later in the handshake, too', async () => {
      const stream = wire.open();
      const [, response] = await exchange(stream, clientStart, {
        next: { in_bytes: Buffer.from([22, 3, 3, 0, 4, 14, 0, 0, 0]) },
      });
      expect((response!['out_frames'] as Buffer)[0]).to.equal(21);
      expect(response!['status'].code).to.be.greaterThan(0);
      expect(await stream.status())
        .to.have.property('code')
        .greaterThan(0);
    });

    it('with an error alone when there is nothing for the peer', async () => {
      const stream = wire.open();
      const responses = await exchange(stream, clientStart, {
        next: { in_bytes: Buffer.from([21, 3, 3, 0, 2, 2, 40]) },
      });
      expect(responses).to.have.length(1);
      expect((await stream.status()).details).to.contain('handshake_failure');
    });
  });

  describe('on a stream that is kept', () => {
    let server: TlsServer;
    let peer: IssuedIdentity;

    before(async () => {
      peer = sidecar.ca.issue({ dnsNames: ['peer.example.org'] });
      server = createTlsServer({
        key: peer.privateKeyPem,
        cert: peer.certificatePem,
        ca: sidecar.ca.pem,
        requestCert: true,
        rejectUnauthorized: false,
        maxVersion: 'TLSv1.2',
      });
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
    });

    after(() => {
      server.close();
    });

    async function handshake(
      stream: WireStream,
      keep: boolean,
      start: object = {},
    ): Promise<WireMessage> {
      const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
      const source = new ByteSource(socket);
      stream.send({
        client_start: { target_name: 'peer.example.org', ...start },
        keep_stream: keep,
      });
      for (;;) {
        const response = (await stream.receive())!;
        socket.write((response['out_frames'] as Buffer | undefined) ?? Buffer.alloc(0));
        if (response['result'] !== undefined) {
          socket.destroy();
          return response;
        }
        stream.send({ next: { in_bytes: await source.read() } });
      }
    }

    it('runs one handshake after the other, each with keys and an id of its own', async () => {
      const stream = wire.open();
      const first = await handshake(stream, true);
      const second = await handshake(stream, true);
      const third = await handshake(stream, false);
      expect((await stream.status()).code).to.equal(0);
      const ids = [first, second, third].map((response) => response['handshake_id'] as string);
      expect(new Set(ids).size).to.equal(3);
      const keys = [first, second, third].map((response) =>
        (response['result'].state.in_key as Buffer).toString('hex'),
      );
      expect(new Set(keys).size).to.equal(3);
    });

    it('resumes a session for the same caller, target and identity only', async () => {
      const stream = wire.open();
      const resumed = async (start: object = {}): Promise<boolean> =>
        ((await handshake(stream, true, start))['result'].state.is_handshake_resumed as
          boolean | undefined) ?? false;
      const unique = { application_protocols: ['resumption-test'] };
      expect(await resumed(unique)).to.equal(false);
      expect(await resumed(unique)).to.equal(true);
      expect(await resumed(unique)).to.equal(true);
      expect(await resumed({ ...unique, identity_name: 'api' })).to.equal(false);
      expect(await resumed({ ...unique, anonymous: true })).to.equal(false);
      stream.cancel();
    });

    it('refuses next where a start is due', async () => {
      const stream = wire.open();
      await handshake(stream, true);
      stream.send({ next: {} });
      await stream.receive();
      expect(await stream.status()).to.include({ code: 9, reason: 'out_of_order' });
    });

    it('fills in everything the result has', async () => {
      const stream = wire.open();
      const { result } = await handshake(stream, false, {
        application_protocols: ['full-handshake'],
        keying_material: [{ label: 'EXPORTER-test', length: 20 }],
      });
      expect(result.state).to.include({ in_sequence: '1', out_sequence: '1' });
      expect(result.state.connection_id).to.match(/^[1-9]/u);
      expect(result.peer_identity).to.include({ hostname: 'peer.example.org' });
      expect(result.local_identity).to.include({ spiffe_id: webIdentity.uris![0] });
      expect(result.peer_cert_fingerprint).to.have.length(32);
      expect(result.local_cert_fingerprint).to.have.length(32);
      expect(result.peer_certificates[0]).to.deep.equal(Buffer.from(peer.chain[0]!));
      expect(result.keying_material[0]).to.have.length(20);
      expect(result.extended_master_secret).to.equal(true);
      expect(result.local_finished).to.have.length(12);
      expect(result.peer_finished).to.have.length(12);
      expect(result.cipher_suite).to.be.oneOf([0xc02b, 0xc02c, 0xcca9]);
      expect(result.named_group).to.be.oneOf([23, 24, 29]);
    });
  });

  it('counts everything down again', async () => {
    for (let attempt = 0; attempt < 200; attempt += 1) {
      if ((await sidecar.metric('sidekey_open_streams')) === 0) break;
    }
    expect(await sidecar.metric('sidekey_open_streams')).to.equal(0);
    expect(await sidecar.metric('sidekey_handshakes_in_flight{role="server"}')).to.equal(0);
    expect(await sidecar.metric('sidekey_handshakes_in_flight{role="client"}')).to.equal(0);
  });
});

/** The bytes of a real ClientHello, which any client start makes. */
async function clientHello(wire: WireClient): Promise<Buffer> {
  const stream = wire.open();
  stream.send({ client_start: { target_name: 'web.example.org' } });
  const response = await stream.receive();
  stream.cancel();
  return response!['out_frames'] as Buffer;
}

function expired(): { notBefore: Date; notAfter: Date } {
  const now = Date.now();
  return { notBefore: new Date(now - 7_200_000), notAfter: new Date(now - 3_600_000) };
}
