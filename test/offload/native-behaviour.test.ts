import { once } from 'node:events';
import { createServer as createTcpServer, type Server } from 'node:net';
import type { Duplex } from 'node:stream';
import {
  connect as connectTls,
  createServer as createTlsServer,
  type Server as TlsServer,
  TLSSocket,
} from 'node:tls';
import { expect } from 'chai';
import { createOffload, type Offload, type OffloadSocket } from '../../src/offload/index.ts';
import { startTestSidecar, type TestSidecar } from '../sidecar/fixture.ts';
import { createTestCa, type IssuedIdentity, type TestCa } from '../support/test-ca.ts';
import { listen } from './support/connections.ts';

type Either = TLSSocket | OffloadSocket;

/** One way to make connections: Node's or ours. */
interface Kind {
  listen(onSecure: (socket: Either) => void, allowHalfOpen?: boolean): Server;
  connect(port: number, options?: { readonly allowHalfOpen?: boolean }): Either;
}

/** What happens on a socket, in the order in which it does. */
function happenings(socket: Duplex, ...names: readonly string[]): string[] {
  const seen: string[] = [];
  for (const name of names) socket.on(name, () => seen.push(name));
  return seen;
}

/** Whatever is done, it must look the same on a socket of ours and on one of `node:tls`. */
const scenarios: Readonly<Record<string, (kind: Kind) => Promise<unknown>>> = {
  'the order of events, from the connection to its end': async (kind) => {
    const atServer: string[][] = [];
    const server = kind.listen((socket) => {
      atServer.push(happenings(socket, 'end', 'finish', 'close'));
      socket.on('data', () => socket.write('pong'));
    });
    const client = kind.connect(await listen(server));
    const atClient = happenings(
      client,
      'connect',
      'ready',
      'secureConnect',
      'end',
      'finish',
      'close',
    );
    client.write('ping');
    await once(client, 'data');
    client.end();
    await once(client.resume(), 'close');
    server.close();
    await once(server, 'close');
    return { atClient, atServer };
  },

  'a server that ends first': async (kind) => {
    const server = kind.listen((socket) => socket.end('all there is'));
    const client = kind.connect(await listen(server));
    const atClient = happenings(client, 'secureConnect', 'data', 'end', 'finish', 'close');
    await once(client, 'close');
    server.close();
    return { atClient, readyState: client.readyState, writableEnded: client.writableEnded };
  },

  'a side that stays open when the other has ended': async (kind) => {
    const server = kind.listen((socket) => {
      socket.on('end', () => socket.end('last words')).resume();
    }, true);
    const client = kind.connect(await listen(server), { allowHalfOpen: true });
    let words = '';
    client.on('data', (chunk: Buffer) => (words += chunk.toString()));
    client.end('first');
    await once(client, 'close');
    server.close();
    return words;
  },

  'being destroyed by the other': async (kind) => {
    const server = kind.listen((socket) => {
      socket.on('error', () => undefined).once('data', () => socket.destroy());
    });
    const client = kind.connect(await listen(server));
    const atClient = happenings(client, 'end', 'close');
    client.on('error', () => undefined).write('x');
    await once(client.resume(), 'close');
    server.close();
    return { atClient, destroyed: client.destroyed };
  },

  'a port where nobody listens': async (kind) => {
    const closed = createTcpServer();
    const port = await listen(closed);
    closed.close();
    const client = kind.connect(port);
    const before = [client.connecting, client.pending, client.readyState, client.encrypted];
    const [error] = (await once(client, 'error')) as [NodeJS.ErrnoException];
    return { before, code: error.code, syscall: error.syscall, after: client.destroyed };
  },

  'a peer that goes away in the handshake': async (kind) => {
    const rude = createTcpServer((socket) =>
      socket
        .on('error', () => undefined)
        .resume()
        .end(),
    );
    const client = kind.connect(await listen(rude));
    const [error] = (await once(client, 'error')) as [NodeJS.ErrnoException];
    rude.close();
    return { code: error.code, secure: client.authorized };
  },

  'writing after the end': async (kind) => {
    const server = kind.listen((socket) => socket.resume());
    const client = kind.connect(await listen(server));
    await once(client, 'secureConnect');
    client.resume().end();
    const told = new Promise((resolve) => client.once('error', resolve));
    client.write('too late');
    const error = (await told) as NodeJS.ErrnoException;
    client.destroy();
    server.close();
    return error.code;
  },

  'time-outs: told once, and not the end': async (kind) => {
    const server = kind.listen((socket) => socket.on('error', () => undefined).resume());
    const client = kind.connect(await listen(server));
    await once(client, 'secureConnect');
    let times = 0;
    client.setTimeout(10, () => (times += 1));
    const set = client.timeout;
    await once(client, 'timeout');
    client.setTimeout(0);
    const result = { set, times, destroyed: client.destroyed, reset: client.timeout };
    client.destroy();
    server.close();
    return result;
  },

  'counters and addresses': async (kind) => {
    const atServer: unknown[] = [];
    const server = kind.listen((socket) => {
      socket
        .on('error', () => undefined)
        .on('data', (chunk: Buffer) => {
          atServer.push(socket.remoteFamily, socket.localAddress, typeof socket.remotePort);
          socket.write(chunk);
        });
    });
    const port = await listen(server);
    const client = kind.connect(port);
    await once(client, 'secureConnect');
    client.write('12345');
    await once(client, 'data');
    const { address, family } = client.address() as { address: string; family: string };
    const result = {
      atServer,
      bytes: [client.bytesRead, client.bytesWritten],
      remote: [client.remoteAddress, client.remotePort === port, client.remoteFamily],
      local: [address, family, client.localFamily],
    };
    client.destroy();
    server.close();
    return result;
  },

  'what is told of the peer': async (kind) => {
    const server = kind.listen((socket) => socket.on('error', () => undefined).resume());
    const client = kind.connect(await listen(server));
    const early = [client.authorized, client.getCipher(), client.alpnProtocol];
    await once(client, 'secureConnect');
    const { name, standardName, version } = client.getCipher();
    const certificate = client.getPeerCertificate(true);
    const result = {
      early: [early[0], early[2]],
      cipher: [name.startsWith('ECDHE-ECDSA-'), standardName.startsWith('TLS_ECDHE_'), version],
      protocol: client.getProtocol(),
      alpn: client.alpnProtocol,
      servername:
        client instanceof TLSSocket ? Reflect.get(client, 'servername') : client.servername,
      authorized: [client.authorized, client.authorizationError],
      names: 'subjectaltname' in certificate ? certificate.subjectaltname : undefined,
      certificate: Object.keys(certificate).sort(),
      x509: client.getPeerX509Certificate()?.subjectAltName,
      finished: client.getFinished()?.length,
    };
    client.destroy();
    server.close();
    return result;
  },

  'destroySoon, with much to be written': async (kind) => {
    let received = 0;
    const server = kind.listen((socket) => {
      socket.on('data', (chunk: Buffer) => (received += chunk.length));
    });
    const client = kind.connect(await listen(server));
    client.write(Buffer.alloc(1_000_000));
    client.destroySoon();
    await once(client.resume(), 'close');
    server.close();
    await once(server, 'close');
    return received;
  },
};

describe('a socket of ours and one of node:tls', () => {
  let ca: TestCa;
  let sidecar: TestSidecar;
  let offload: Offload;
  let issued: IssuedIdentity;
  let native: Kind;
  let ours: Kind;

  before(async () => {
    ca = createTestCa();
    issued = ca.issue({ dnsNames: ['localhost'], uris: ['spiffe://test/service/web'] });
    sidecar = await startTestSidecar({
      ca,
      identities: { web: { dnsNames: ['localhost'], uris: ['spiffe://test/service/web'] } },
    });
    offload = createOffload({ address: sidecar.address });
    const keys = { cert: issued.certificatePem, key: issued.privateKeyPem, ca: ca.pem };
    const common = { host: '127.0.0.1', servername: 'localhost', ALPNProtocols: ['test/1'] };
    native = {
      listen: (onSecure, allowHalfOpen = false) => {
        const options = { ...keys, requestCert: true, maxVersion: 'TLSv1.2' as const };
        const server: TlsServer = createTlsServer(
          { ...options, allowHalfOpen, ALPNProtocols: ['test/1'] },
          onSecure,
        );
        return server.on('tlsClientError', () => undefined);
      },
      connect: (port, options = {}) => connectTls({ ...common, ...keys, ...options, port }),
    };
    ours = {
      listen: (onSecure, allowHalfOpen = false) =>
        offload.createServer(
          { clientAuth: 'require', allowHalfOpen, ALPNProtocols: ['test/1'] },
          onSecure,
        ),
      connect: (port, options = {}) => offload.connect({ ...common, ...options, port }),
    };
  });

  after(async () => {
    await offload.close();
    await sidecar.close();
  });

  for (const [name, run] of Object.entries(scenarios)) {
    it(`look the same: ${name}`, async () => {
      const expected = await run(native);
      expect(await run(ours)).to.deep.equal(expected);
    });
  }
});
