import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';
import { expect } from 'chai';
import { keyKindOf, type KeyKind } from '../../src/crypto/keys.ts';
import { rsaModulusBytes, signSync } from '../../src/crypto/signatures.ts';
import { cipherSuites, type CipherSuite } from '../../src/tls/cipher-suites.ts';
import { createClientHandshake } from '../../src/tls/client/handshake.ts';
import type {
  ChainVerdict,
  ClientSession,
  Credential,
  SignAction,
  VerifyChainAction,
} from '../../src/tls/config.ts';
import { suiteAuthentication } from '../../src/tls/peer-authentication.ts';
import { createRecordOpener, createRecordSealer } from '../../src/tls/record/protection.ts';
import { ContentType, NamedGroup } from '../../src/tls/registries.ts';
import { createServerHandshake } from '../../src/tls/server/handshake.ts';
import { clientConfig, EngineSide, serverConfig, testTickets } from '../support/engine-driver.ts';
import { createTestCa, type IssuedIdentity } from '../support/test-ca.ts';

const ca = createTestCa();
const name = 'server.test';
const kinds: readonly KeyKind[] = ['ecdsa-p256', 'ecdsa-p384', 'ed25519', 'rsa'];
const issued = new Map(
  kinds.map((keyKind) => [keyKind, ca.issue({ dnsNames: [name], keyKind, intermediate: true })]),
);

function identity(kind: KeyKind): IssuedIdentity {
  const found = issued.get(kind);
  if (found === undefined) throw new Error(`no identity of kind ${kind}`);
  return found;
}

function credential(kind: KeyKind): Credential {
  const { chain, publicKey } = identity(kind);
  return {
    name: kind,
    certificates: chain,
    keyKind: kind,
    rsaModulusBytes: rsaModulusBytes(publicKey),
    matchesServerName: (asked) => asked === name,
    issuerNames: [ca.parsed.subject],
    chainSchemes: [],
  };
}

const answers = {
  sign: ({ credential: { keyKind }, scheme, content }: SignAction) =>
    signSync(identity(keyKind).privateKey, scheme, content),
  verifyChain: ({ certificates }: VerifyChainAction): ChainVerdict => {
    const { publicKey } = new X509Certificate(certificates[0] ?? Buffer.alloc(0));
    const keyKind = keyKindOf(publicKey);
    if (keyKind === undefined) throw new Error('a key of no kind we know');
    return { ok: true, publicKey, keyKind };
  },
};

/** Drives an engine over a socket until it is done; answers the application data behind. */
async function drive(side: EngineSide, socket: net.Socket): Promise<Buffer> {
  const first = side.start();
  if (first.length > 0) socket.write(first);
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    const bytes = chunk as Buffer;
    const out = side.receive(bytes);
    if (out.length > 0) socket.write(out);
    if (side.done) return bytes.subarray(bytes.length - side.trailingBytes);
  }
  throw new Error(`connection ended in ${side.handshake.phase}`);
}

/** The record protection an application goes on with. */
function protect(side: EngineSide) {
  const { result } = side;
  if (result === undefined) throw new Error(side.failure?.message ?? 'not established');
  const { cipherSuite, read, write } = result;
  const sealer = createRecordSealer({ cipherSuite, ...write });
  const opener = createRecordOpener({ cipherSuite, ...read });
  return {
    seal(text: string): Buffer {
      const record = Buffer.alloc(sealer.overhead + text.length);
      return record.subarray(
        0,
        sealer.seal(ContentType.application_data, Buffer.from(text), record, 0),
      );
    },
    open: (record: Uint8Array): string => Buffer.from(opener.open(Buffer.from(record))).toString(),
  };
}

async function echoOnce(side: EngineSide, socket: net.Socket, leftover: Buffer): Promise<string> {
  const protection = protect(side);
  let received = leftover;
  socket.write(protection.seal('ping'));
  while (received.length < 5 || received.length < 5 + received.readUInt16BE(3)) {
    const [chunk] = (await once(socket, 'data')) as [Buffer];
    received = Buffer.concat([received, chunk]);
  }
  return protection.open(received.subarray(0, 5 + received.readUInt16BE(3)));
}

const groupNames = { secp256r1: 'P-256', x25519: 'X25519', secp384r1: 'P-384' } as const;

function kindsFor({ authentication }: CipherSuite): readonly KeyKind[] {
  return kinds.filter((kind) => suiteAuthentication(kind) === authentication);
}

describe('our client with the server of node:tls (RFC 5246 §7.3)', () => {
  interface Options extends tls.TlsOptions {
    readonly kind: KeyKind;
  }

  async function withServer<T>(
    { kind, ...options }: Options,
    run: (port: number) => Promise<T>,
  ): Promise<T> {
    const { certificatePem, privateKeyPem } = identity(kind);
    const server = tls.createServer(
      { cert: certificatePem, key: privateKeyPem, ca: ca.pem, maxVersion: 'TLSv1.2', ...options },
      (socket) => {
        socket.on('error', () => socket.destroy());
        socket.once('data', (data: Buffer) =>
          socket.write(`${data.toString()} ${String(socket.authorized)}`),
        );
      },
    );
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    try {
      return await run((server.address() as net.AddressInfo).port);
    } finally {
      server.close();
    }
  }

  async function connect(port: number, config: Parameters<typeof clientConfig>[0]) {
    const side = new EngineSide(createClientHandshake(clientConfig(config)), answers);
    const socket = net.connect(port, '127.0.0.1');
    socket.setNoDelay();
    try {
      const leftover = await drive(side, socket);
      if (side.failure !== undefined) return { side, reply: '' };
      return { side, reply: await echoOnce(side, socket, leftover) };
    } finally {
      socket.destroy();
    }
  }

  for (const suite of cipherSuites) {
    for (const kind of kindsFor(suite)) {
      it(`shakes hands: ${suite.name}, ${kind}, certificates on both sides`, async () => {
        await withServer(
          { kind, requestCert: true, rejectUnauthorized: true, ALPNProtocols: ['h2', 'http/1.1'] },
          async (port) => {
            const { side, reply } = await connect(port, {
              cipherSuites: [suite],
              credentials: [credential(kind)],
              applicationProtocols: ['http/1.1'],
              requireExtendedMasterSecret: true,
            });
            expect(reply).to.equal('ping true');
            expect(side.result).to.include({ cipherSuite: suite, applicationProtocol: 'http/1.1' });
            expect(side.result?.credential?.name).to.equal(kind);
          },
        );
      });
    }
  }

  for (const [group, curve] of Object.entries(groupNames)) {
    it(`shakes hands over ${group}, without a certificate of ours`, async () => {
      await withServer(
        { kind: 'rsa', ecdhCurve: curve, requestCert: true, rejectUnauthorized: false },
        async (port) => {
          const { side, reply } = await connect(port, {});
          expect(reply).to.equal('ping false');
          expect(side.result).to.include({
            namedGroup: NamedGroup[group as keyof typeof groupNames],
          });
        },
      );
    });
  }

  it('resumes a session, and again from the new ticket', async () => {
    await withServer({ kind: 'ecdsa-p256' }, async (port) => {
      let session: ClientSession | undefined;
      for (const resumed of [false, true, true]) {
        const { side, reply }: Awaited<ReturnType<typeof connect>> = await connect(
          port,
          session === undefined ? {} : { session },
        );
        expect(reply).to.equal('ping false');
        expect(side.result?.resumed).to.equal(resumed);
        session = side.result?.session ?? session;
        expect(session).to.not.equal(undefined);
      }
    });
  });

  it('exports the same keying material', async () => {
    let theirs: Buffer | undefined;
    const { certificatePem: cert, privateKeyPem: key } = identity('ecdsa-p256');
    const server = tls.createServer({ cert, key, maxVersion: 'TLSv1.2' }, (socket) => {
      theirs = socket.exportKeyingMaterial(40, 'EXPORTER-one', Buffer.from('context'));
      socket.once('data', () => socket.write('x'));
      socket.on('error', () => socket.destroy());
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const exporters = [{ label: 'EXPORTER-one', length: 40, context: Buffer.from('context') }];
    const { side } = await connect((server.address() as net.AddressInfo).port, { exporters });
    server.close();
    expect(theirs).to.deep.equal(Buffer.from(side.result?.keyingMaterial[0] ?? []));
  });

  for (const [what, options, alert] of [
    [
      'demands a certificate we do not have',
      { requestCert: true, rejectUnauthorized: true },
      'handshake_failure',
    ],
    ['has none of our protocols', { ALPNProtocols: ['h2'] }, 'no_application_protocol'],
    ['speaks TLS 1.3 only', { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' }, 'protocol_version'],
    ['has none of our suites', { ciphers: 'ECDHE-ECDSA-AES128-SHA256' }, 'handshake_failure'],
  ] as const) {
    it(`reports the alert of a server that ${what}`, async () => {
      await withServer(
        {
          kind: 'ecdsa-p256',
          ...options,
          ...('ALPNProtocols' in options ? { ALPNProtocols: [...options.ALPNProtocols] } : {}),
        },
        async (port) => {
          const { side } = await connect(port, { applicationProtocols: ['http/1.1'] });
          expect(side.failure).to.include({ kind: 'peer_alert', alert });
        },
      );
    });
  }
});

describe('our server with the client of node:tls (RFC 5246 §7.3)', () => {
  interface Served {
    readonly port: number;
    readonly sides: readonly EngineSide[];
    close(): void;
  }

  async function serve(config: Parameters<typeof serverConfig>[0]): Promise<Served> {
    const sides: EngineSide[] = [];
    const server = net.createServer((socket) => {
      const side = new EngineSide(createServerHandshake(serverConfig(config)), answers);
      sides.push(side);
      socket.on('error', () => socket.destroy());
      drive(side, socket)
        .then((leftover) => (side.result === undefined ? '' : echoOnce(side, socket, leftover)))
        .catch(() => socket.destroy());
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return { port: (server.address() as net.AddressInfo).port, sides, close: () => server.close() };
  }

  async function connect(port: number, options: tls.ConnectionOptions = {}) {
    const socket = tls.connect({
      port,
      host: '127.0.0.1',
      servername: name,
      ca: ca.pem,
      ...options,
    });
    try {
      await once(socket, 'secureConnect');
      const [data] = (await once(socket, 'data')) as [Buffer];
      expect(data.toString()).to.equal('ping');
      const { authorized, alpnProtocol } = socket;
      const session = socket.getSession();
      return { authorized, alpnProtocol, reused: socket.isSessionReused(), session };
    } finally {
      socket.destroy();
    }
  }

  for (const suite of cipherSuites) {
    for (const kind of kindsFor(suite)) {
      it(`shakes hands: ${suite.name}, ${kind}, certificates on both sides`, async () => {
        const { certificatePem: cert, privateKeyPem: key } = identity(kind);
        const server = await serve({
          credentials: [credential(kind)],
          clientAuth: 'require',
          applicationProtocols: ['h2', 'http/1.1'],
          certificateAuthorities: [ca.parsed.subject],
        });
        const socket = await connect(server.port, {
          cert,
          key,
          ciphers: suite.openSslName,
          maxVersion: 'TLSv1.2',
          ALPNProtocols: ['http/1.1', 'h2'],
        });
        server.close();
        expect(socket.authorized).to.equal(true);
        expect(socket.alpnProtocol).to.equal('h2');
        expect(server.sides[0]?.result).to.include({ cipherSuite: suite, serverName: name });
        expect(server.sides[0]?.result?.peerCertificates[0]).to.deep.equal(
          Buffer.from(identity(kind).chain[0] ?? []),
        );
      });
    }
  }

  for (const [group, curve] of Object.entries(groupNames)) {
    it(`shakes hands over ${group} with a client that would rather speak TLS 1.3`, async () => {
      const server = await serve({ credentials: [credential('rsa')] });
      await connect(server.port, { ecdhCurve: curve });
      server.close();
      expect(server.sides[0]?.result).to.include({
        namedGroup: NamedGroup[group as keyof typeof groupNames],
      });
    });
  }

  it('resumes a session, the client certificate included', async () => {
    const { certificatePem: cert, privateKeyPem: key } = identity('ecdsa-p256');
    const server = await serve({
      credentials: [credential('ecdsa-p256')],
      clientAuth: 'require',
      tickets: testTickets(),
    });
    const options = { cert, key, maxVersion: 'TLSv1.2' } as const;
    const { session } = await connect(server.port, options);
    const second = await connect(server.port, {
      ...options,
      ...(session === undefined ? {} : { session }),
    });
    server.close();
    expect(second.reused).to.equal(true);
    expect(server.sides.map(({ result }) => result?.resumed)).to.deep.equal([false, true]);
    expect(server.sides[1]?.result?.peerCertificates).to.deep.equal(
      server.sides[0]?.result?.peerCertificates,
    );
  });

  it('refuses a client of TLS 1.1', async () => {
    const server = await serve({ credentials: [credential('ecdsa-p256')] });
    const socket = tls.connect({
      port: server.port,
      host: '127.0.0.1',
      ca: ca.pem,
      servername: name,
      minVersion: 'TLSv1',
      maxVersion: 'TLSv1.1',
      ciphers: 'DEFAULT@SECLEVEL=0',
    });
    const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException];
    server.close();
    expect(error.code).to.equal('ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION');
    expect(server.sides[0]?.failure?.alert).to.equal('protocol_version');
  });

  it('refuses a client without the certificate it requires', async () => {
    const server = await serve({ credentials: [credential('ecdsa-p256')], clientAuth: 'require' });
    const socket = tls.connect({
      port: server.port,
      host: '127.0.0.1',
      ca: ca.pem,
      servername: name,
    });
    const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException];
    server.close();
    // OpenSSL 3.5 calls the alert by another name than 3.0.
    expect(error.code).to.match(/^ERR_SSL_.*ALERT_HANDSHAKE_FAILURE$/u);
    expect(server.sides[0]?.failure?.reason).to.equal('client_certificate_required');
  });
});
